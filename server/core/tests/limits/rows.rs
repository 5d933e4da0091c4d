//! How each row of the table of limits is tried.

mod channels;
mod connections;
mod plugins;

use super::raw_link::{Arrived, HERE, RawLink, UNANSWERED, name, plugin, server, turn, turns};
use std::num::NonZeroU64;
use std::time::Duration;
use trunkline_core::broker::{
    Broker, Direct, Effect, Grants, Keep, PeerConfig, PluginId, Rights, Told,
};
use trunkline_core::bymux::StreamId;
use trunkline_core::control::{
    Announced, Answer, At, Message, Origin, Plugins, Preface, Registration, Request, Role,
    SocketName, Ticket,
};
use trunkline_core::key::Key;
use trunkline_core::limits::{Limit, Limits, WINDOW};
use trunkline_core::reason::Code;

/// How a row is tried.
#[derive(Debug)]
pub(crate) enum Tried {
    /// By this function, with a bare broker.
    Here(fn()),
    /// By a test of another file, where it takes more than a broker, or was there already.
    By(&'static str, &'static str),
}

use Tried::{By, Here};

const CALLS: &str = "tests/tests/calls_break_rules.rs";

/// Each row of the tables, by its first column.
pub(crate) const ROWS: &[(&str, Tried)] = &[
    ("half-open connections (section 9)", Here(connections::half_open)),
    ("time until hello or ticket", Here(connections::time_until_hello)),
    ("connections of all kinds", Here(connections::connections)),
    ("the same over unix sockets", Here(connections::connections_over_unix)),
    ("links that plugins wait for", Here(connections::wanted_links)),
    ("silence before a ping", Here(connections::silence)),
    ("silence, a ping included", Here(connections::silence)),
    ("pause before a redial or restart", Here(connections::redial)),
    ("longest such pause", Here(connections::redial)),
    ("time of a link without a use", Here(connections::nothing_in_common)),
    ("messages that wait for credit", Here(connections::messages_that_wait)),
    (
        "packets without credit that wait, beside messages within credit",
        Here(connections::pongs_that_wait),
    ),
    ("control message", Here(connections::control_message)),
    ("open streams of a link", Here(channels::streams)),
    ("open streams of a host's link", Here(channels::streams_of_a_host)),
    ("open channels of a plugin", Here(channels::channels)),
    ("a channel's window at first", Here(channels::window)),
    ("a channel's window", Here(channels::windows_that_grow)),
    ("growth of all windows of a link", Here(channels::windows_that_grow)),
    ("growth of all windows of relayed channels of a link", Here(channels::relayed_windows)),
    ("channels that wait for an answer", Here(channels::unanswered_channels)),
    ("incomplete prefaces and answers", Here(channels::incomplete_prefaces)),
    ("time of one from its first byte", Here(channels::time_of_a_preface)),
    ("plugins that a peer announces", Here(plugins::announced_plugins)),
    ("names that these invite", Here(plugins::invited_names)),
    ("tickets of a process", Here(plugins::tickets)),
    ("tickets told to a host", Here(plugins::tickets_of_a_host)),
    ("calls that a plugin waits for", By(CALLS, "one_caller_cannot_use_up_a_callees_calls")),
    ("calls to answer", By(CALLS, "one_caller_cannot_use_up_a_callees_calls")),
    ("a request, an answer", By(CALLS, "endless_requests_cost_at_most_the_link_window")),
    ("waiting requests and answers", By(CALLS, "endless_requests_cost_at_most_the_link_window")),
    (
        "a call that blocks its loop",
        By("tests/tests/plugins_block_loops.rs", "the_watchdog_blames_the_callee_not_the_caller"),
    ),
    ("preface, answer", Here(channels::long_preface)),
    (
        "data in the outbox of a connection",
        By("tests/tests/bymux_fairness.rs", "a_small_write_is_accepted_while_a_bulk_stream_waits"),
    ),
    (
        "addresses in a field",
        By("tests/tests/tickets.rs", "an_invitation_cannot_name_a_path_or_this_machine"),
    ),
    ("time of a ticket", By("tests/tests/tickets.rs", "a_ticket_works_once")),
    ("ticket of which the process was not told", Here(plugins::unknown_tickets)),
    (
        "bytes of a process that waits for its ticket",
        By("tests/tests/tickets.rs", "an_unexpected_key_is_not_admitted"),
    ),
    (
        "bytes that a plugin writes while routes are tried",
        By(
            "tests/tests/relays_hold_little.rs",
            "a_plugin_that_never_reads_stops_the_writer_and_fills_no_server",
        ),
    ),
    ("bytes that a plugin writes before it accepts", Here(channels::bytes_before_the_answer)),
    (
        "names that a plugin uses, that it invites, keys that see it",
        By(
            "server/core/src/broker/registry/descriptions.rs",
            "a_registration_is_kept_as_far_as_its_lists_may_be_long",
        ),
    ),
    (
        "failures that `explain` knows",
        By(
            "server/core/src/broker/report/failures.rs",
            "failures_of_one_host_do_not_evict_those_of_another",
        ),
    ),
];

/// The peer that takes what it can, and the other one.
const HOG: u8 = 50;
const OTHER: u8 = 51;

/// Limits that are the defaults, but that links without a use stay.
fn limits() -> Limits {
    let long = Duration::from_secs(3_600);
    Limits { nothing_in_common: long, ..Limits::default() }
}

/// A server with a plugin that every server may see.
fn broker(limits: Limits) -> (Broker, PluginId) {
    let mut broker = server(limits);
    let inline = plugin(&mut broker, "inline");
    (broker, inline)
}

fn peers(broker: &mut Broker) -> (RawLink, RawLink) {
    let hog = RawLink::greeted(broker, HOG, Role::Server);
    (hog, RawLink::greeted(broker, OTHER, Role::Server))
}

fn request(to: &str) -> Request {
    Request::new(name(to), 0, Origin::new(name("caller"), 1))
}

/// What comes of so many channels to a plugin, one after the other.
fn opened(
    link: &mut RawLink,
    broker: &mut Broker,
    count: usize,
    request: &Request,
) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    for _ in 0..count {
        link.open(&Preface::channel(request.clone()));
        arrived.extend(link.exchange(broker));
    }
    arrived
}

fn accepted(arrived: &[Arrived]) -> usize {
    arrived.iter().filter(|arrived| matches!(arrived, Arrived::Accepted(_))).count()
}

fn invited(arrived: &[Arrived]) -> usize {
    arrived.iter().filter(|arrived| matches!(arrived, Arrived::Invited(_))).count()
}

fn refused(arrived: &[Arrived], code: Code) -> usize {
    let is = |arrived: &&Arrived| match arrived {
        Arrived::Refused(_, why) => why.is(code),
        Arrived::Message(Message::Closing(closing)) => closing.reason.is(code),
        _ => false,
    };
    arrived.iter().filter(is).count()
}

fn is_linked(broker: &Broker, number: u8) -> bool {
    broker.servers().any(|(key, _)| key == Key([number; 32]))
}

fn pass_time(broker: &mut Broker, seconds: u64) {
    turn(broker, Duration::from_secs(seconds), &[]);
}

fn reached(broker: &Broker, limit: Limit) -> u64 {
    broker.status().counters.reached(limit)
}

/// A host with a plugin that every server may see, and how it may be reached.
fn host(broker: &mut Broker, socket: Option<SocketName>) -> RawLink {
    let mut host = RawLink::greeted(broker, 60, Role::Host);
    let registration = Some(Registration { peers: true, socket, ..Registration::default() });
    let hosted = Announced { registration, ..Announced::new(name("hosted"), 1) };
    announce(&mut host, broker, vec![hosted]);
    host
}

fn announce(link: &mut RawLink, broker: &mut Broker, plugins: Vec<Announced>) -> Vec<Arrived> {
    link.send(&Message::Plugins(Plugins { plugins }));
    link.exchange(broker)
}
