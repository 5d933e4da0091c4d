//! How each row of the table of limits is tried.

use super::raw_link::{Arrived, HERE, RawLink, UNANSWERED, turn, turns};
use std::num::NonZeroU64;
use std::time::Duration;
use trunkline_core::broker::{
    Accept, Broker, Direct, Effect, Expose, Grants, Keep, PeerConfig, Permission, PluginConfig,
    PluginId, Rights, Settings, Told,
};
use trunkline_core::bymux::StreamId;
use trunkline_core::control::{
    Announced, Answer, At, Message, Origin, Plugins, Preface, Registration, Request, Role,
    SocketName, Ticket,
};
use trunkline_core::key::{Key, NETWORK};
use trunkline_core::limits::{Limit, Limits, WINDOW};
use trunkline_core::name::Name;
use trunkline_core::reason::Code;
use trunkline_shs::Identity;

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
    ("half-open connections (section 9)", Here(half_open)),
    ("time until hello or ticket", Here(time_until_hello)),
    ("connections of all kinds", Here(connections)),
    ("the same over unix sockets", Here(connections_over_unix)),
    ("links that plugins wait for", Here(wanted_links)),
    ("silence before a ping", Here(silence)),
    ("silence, a ping included", Here(silence)),
    ("pause before a redial or restart", Here(redial)),
    ("longest such pause", Here(redial)),
    ("time of a link without a use", Here(nothing_in_common)),
    ("messages that wait for credit", Here(messages_that_wait)),
    ("packets without credit that wait, beside messages within credit", Here(pongs_that_wait)),
    ("control message", Here(control_message)),
    ("open streams of a link", Here(streams)),
    ("open streams of a host's link", Here(streams_of_a_host)),
    ("open channels of a plugin", Here(channels)),
    ("a channel's window at first", Here(window)),
    ("a channel's window", Here(windows_that_grow)),
    ("growth of all windows of a link", Here(windows_that_grow)),
    ("growth of all windows of relayed channels of a link", Here(relayed_windows)),
    ("channels that wait for an answer", Here(unanswered_channels)),
    ("incomplete prefaces and answers", Here(incomplete_prefaces)),
    ("time of one from its first byte", Here(time_of_a_preface)),
    ("plugins that a peer announces", Here(announced_plugins)),
    ("names that these invite", Here(invited_names)),
    ("tickets of a process", Here(tickets)),
    ("tickets told to a host", Here(tickets_of_a_host)),
    ("calls that a plugin waits for", By(CALLS, "one_caller_cannot_use_up_a_callees_calls")),
    ("calls to answer", By(CALLS, "one_caller_cannot_use_up_a_callees_calls")),
    ("a request, an answer", By(CALLS, "endless_requests_cost_at_most_the_link_window")),
    ("waiting requests and answers", By(CALLS, "endless_requests_cost_at_most_the_link_window")),
    (
        "a call that blocks its loop",
        By("tests/tests/plugins_block_loops.rs", "the_watchdog_blames_the_callee_not_the_caller"),
    ),
    ("preface, answer", Here(long_preface)),
    (
        "data in the outbox of a connection",
        By("tests/tests/bymux_fairness.rs", "a_small_write_is_accepted_while_a_bulk_stream_waits"),
    ),
    (
        "addresses in a field",
        By("tests/tests/tickets.rs", "an_invitation_cannot_name_a_path_or_this_machine"),
    ),
    ("time of a ticket", By("tests/tests/tickets.rs", "a_ticket_works_once")),
    ("ticket of which the process was not told", Here(unknown_tickets)),
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
    ("bytes that a plugin writes before it accepts", Here(bytes_before_the_answer)),
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

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Limits that are the defaults, but that links without a use stay.
fn limits() -> Limits {
    let long = Duration::from_secs(3_600);
    Limits { nothing_in_common: long, ..Limits::default() }
}

fn plugin(broker: &mut Broker, of: &str) -> PluginId {
    let config = PluginConfig {
        expose: Expose::Peers,
        allow: [Permission::Links].to_vec(),
        ..PluginConfig::new(name(of), 1)
    };
    let plugin = broker.add_plugin(config).expect("a new name");
    broker.plugin_started(plugin);
    turns(broker, &[]);
    plugin
}

/// A server with a plugin that every server may see.
fn broker(limits: Limits) -> (Broker, PluginId) {
    let mut broker = Broker::new(Settings {
        identity: Identity::from_seed(&[1; 32]),
        network: NETWORK,
        accept: Accept::Anyone,
        name: "ours".into(),
        role: Role::Server,
        machine: HERE,
        software: String::new(),
        limits,
        secret: [1; 32],
        seed: 1,
    });
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

fn half_open() {
    let (mut broker, _) = broker(Limits { half_open: 4, ..limits() });
    for _ in 0..20 {
        assert!(broker.accepts(Grants::Server), "the silent ones make room");
        RawLink::connect(&mut broker, Grants::Server);
        turns(&mut broker, &[]);
    }
    assert_eq!(broker.connections().count(), 4);
    let mut other = RawLink::connect(&mut broker, Grants::Server);
    other.greet(&mut broker, OTHER, Role::Server);
    assert!(is_linked(&broker, OTHER));
}

fn time_until_hello() {
    let (mut broker, _) = broker(limits());
    let silent = RawLink::connect(&mut broker, Grants::Everything);
    let other = RawLink::greeted(&mut broker, OTHER, Role::Server);
    pass_time(&mut broker, 6);
    assert!(broker.is_ending(silent.conn) && !broker.is_ending(other.conn));
    assert_eq!(reached(&broker, Limit::Handshake), 1);
}

fn connections() {
    let (mut broker, _) = broker(Limits { links: 16, ..limits() });
    let mut kept = Vec::new();
    for _ in 0..40 {
        let mut link = RawLink::greeted(&mut broker, HOG, Role::Server);
        // The older link stays as long as a channel is open on it.
        if !broker.is_ending(link.conn) {
            assert_eq!(accepted(&opened(&mut link, &mut broker, 1, &request("inline"))), 1);
        }
        kept.push(link);
    }
    let held = kept.iter().filter(|link| !broker.is_ending(link.conn)).count();
    assert_eq!(held, 8, "half of the places");
    for other in OTHER..OTHER + 8 {
        RawLink::greeted(&mut broker, other, Role::Server);
        assert!(is_linked(&broker, other), "peer {other} finds no place");
    }
    assert_eq!(broker.audit(), Ok(()));
}

fn connections_over_unix() {
    let (mut broker, _) = broker(Limits { links: 4, ..limits() });
    for peer in HOG..HOG + 4 {
        RawLink::connect(&mut broker, Grants::Server).greet(&mut broker, peer, Role::Server);
    }
    assert!(!broker.accepts(Grants::Server), "all places are taken");
    for _ in 0..64 {
        assert!(broker.accepts(Grants::Everything), "our user has a reserve");
        RawLink::connect(&mut broker, Grants::Everything);
    }
    assert!(!broker.accepts(Grants::Everything));
}

fn wanted_links() {
    let (mut broker, hog) = broker(Limits { links: 16, ..limits() });
    let other = plugin(&mut broker, "other");
    let mut open = |plugin, first: u8| {
        let far = |n: u8| format!("net:203.0.113.1:8008~shs:{}", Key([n; 32]));
        (first..first + 20).filter(|n| broker.open_link(plugin, &far(*n)).is_ok()).count()
    };
    assert_eq!(open(hog, 100), 8, "half of them");
    assert_eq!(open(other, 150), 4, "half of what is left");
}

fn silence() {
    let (mut broker, _) = broker(limits());
    let (hog, mut other) = peers(&mut broker);
    for seconds in (5..=60).step_by(5) {
        pass_time(&mut broker, seconds);
        if seconds == 10 {
            assert!(!broker.outgoing(hog.conn).concat().is_empty(), "a ping");
        }
        other.exchange(&mut broker);
        let is_dead = broker.is_ending(hog.conn);
        assert_eq!(is_dead, seconds >= 30, "after {seconds} s of silence");
    }
    assert!(is_linked(&broker, OTHER), "it has answered");
}

fn redial() {
    let (mut broker, _) = broker(limits());
    let address = "net:203.0.113.1:8008~shs";
    let parsed: trunkline_core::address::Address = address.parse().expect("an address");
    let peer = || PeerConfig {
        key: None,
        name: None,
        endpoints: parsed.endpoints().0,
        role: Role::Server,
        keep: Keep::Always,
        rights: Rights::none(),
    };
    let hog = broker.add_peer(peer());
    let mut now = Duration::ZERO;
    let mut pause = Duration::ZERO;
    for _ in 0..20 {
        broker.dial_failed(hog, "refused");
        let next = broker.deadline().expect("it is dialled again");
        pause = next - now;
        assert!(pause <= Duration::from_secs(30), "{pause:?}");
        now = next;
        turn(&mut broker, now, &[]);
    }
    assert!(pause >= Duration::from_secs(15), "{pause:?}");
    let other = broker.add_peer(peer());
    broker.dial_failed(other, "refused");
    let pause = broker.deadline().expect("it is dialled again") - now;
    assert!(pause <= Duration::from_millis(250), "the other begins with the shortest: {pause:?}");
}

fn nothing_in_common() {
    let (mut broker, _) = broker(Limits::default());
    let (hog, mut other) = peers(&mut broker);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
    pass_time(&mut broker, 6);
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
}

fn messages_that_wait() {
    let (mut broker, _) = broker(Limits { outbox: 64 * 1024, ..limits() });
    let mut hog = RawLink::greeted(&mut broker, HOG, Role::Host);
    let other = RawLink::greeted(&mut broker, OTHER, Role::Server);
    // Each name is refused with a reason, which it does not read.
    let taken = vec![Announced::new(name("inline"), 1); 4_000];
    hog.send(&Message::Plugins(Plugins { plugins: taken }));
    hog.flush(&mut broker);
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
    assert!(reached(&broker, Limit::Outbox) > 0);
}

fn pongs_that_wait() {
    let (mut broker, _) = broker(Limits { outbox: 64 * 1024, ..limits() });
    let (mut hog, other) = peers(&mut broker);
    for _ in 0..300 {
        (0..1_000).for_each(|_| hog.link.mux().global_ping());
        hog.flush(&mut broker);
    }
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
}

fn control_message() {
    let (mut broker, _) = broker(limits());
    let (mut hog, other) = peers(&mut broker);
    hog.link.mux().write(StreamId::CONTROL, &65_537u32.to_be_bytes());
    hog.flush(&mut broker);
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
    assert_eq!(reached(&broker, Limit::ControlMessage), 1);
}

fn streams() {
    let (mut broker, _) = broker(Limits { streams: 8, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 20, &request("inline"));
    assert_eq!((accepted(&arrived), refused(&arrived, Code::LimitReached)), (8, 12));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
    // The host of a plugin that is invited over the full link keeps no stream of it.
    let mut host = host(&mut broker, None);
    hog.exchange(&mut broker);
    let invites = Some(vec![name("hosted")]);
    announce(&mut hog, &mut broker, vec![Announced { invites, ..Announced::new(name("bar"), 1) }]);
    assert_eq!(broker.audit(), Ok(()));
    let arrived = host.exchange(&mut broker);
    assert_eq!(refused(&arrived, Code::LimitReached), 1, "{arrived:?}");
}

/// A host with a plugin that every server may see, and how it may be reached.
fn host(broker: &mut Broker, socket: Option<SocketName>) -> RawLink {
    let mut host = RawLink::greeted(broker, 60, Role::Host);
    let registration = Some(Registration { peers: true, socket, ..Registration::default() });
    let hosted = Announced { registration, ..Announced::new(name("hosted"), 1) };
    announce(&mut host, broker, vec![hosted]);
    host
}

fn streams_of_a_host() {
    let (mut broker, _) = broker(Limits { streams: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let mut host = host(&mut broker, None);
    // A link of its own never has so many that the link itself is full.
    let mut refusals = Vec::new();
    for _ in 0..12 {
        refusals.extend(opened(&mut hog, &mut broker, 1, &request("hosted")));
    }
    assert_eq!(refused(&refusals, Code::LimitReached), 4, "half of the streams are left");
    let refusals = opened(&mut other, &mut broker, 12, &request("hosted"));
    assert_eq!(refused(&refusals, Code::LimitReached), 8, "half of the other half");
    let is = |arrived: &&Arrived| matches!(arrived, Arrived::Opened(..));
    assert_eq!(host.exchange(&mut broker).iter().filter(is).count(), 12);
    broker.disconnected(hog.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(broker.audit(), Ok(()));
}

fn channels() {
    let (mut broker, _) = broker(Limits { channels: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 40, &request("inline"));
    assert_eq!((accepted(&arrived), refused(&arrived, Code::LimitReached)), (8, 32));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 40, &request("inline"))), 4);
    broker.disconnected(hog.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 40, &request("inline"))), 4, "half");
    assert_eq!(broker.audit(), Ok(()));
}

fn window() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    for link in [&mut hog, &mut other] {
        let (_, stream) = link.open(&Preface::channel(request("inline")));
        let used = Preface::channel(request("inline")).frame().len();
        assert_eq!(link.link.mux().write(stream, &[7; 200_000]) + used, 65_536);
    }
}

/// Opens channels and writes as much as is granted, again and again; the sum of their windows.
fn grow(link: &mut RawLink, broker: &mut Broker, count: usize) -> u64 {
    let open = |link: &mut RawLink| link.open(&Preface::channel(request("inline"))).1;
    let streams: Vec<StreamId> = (0..count).map(|_| open(link)).collect();
    link.exchange(broker);
    for _ in 0..40 {
        for part in [2, 1] {
            for stream in &streams {
                let writable = link.link.mux().writable(*stream) as usize;
                link.link.mux().write(*stream, &vec![7; writable / part]);
                link.flush(broker);
            }
        }
        link.exchange(broker);
    }
    streams.iter().map(|stream| link.link.mux().writable(*stream)).sum()
}

fn windows_that_grow() {
    let (mut broker, _) =
        broker(Limits { window_max: 256 << 10, link_window: 1 << 20, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let all = grow(&mut hog, &mut broker, 12);
    assert!(all > 12 * WINDOW, "no window has grown: {all}");
    assert!(all <= 12 * WINDOW + (1 << 20), "they grow beyond the link's bound: {all}");
    let others = grow(&mut other, &mut broker, 4);
    let grown = 4 * WINDOW + 1..=4 * (256 << 10);
    assert!(grown.contains(&others), "four channels of another link grow to {others}");
}

fn relayed_windows() {
    let (mut broker, _) =
        broker(Limits { window_max: 256 << 10, link_window: 1 << 20, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let mut host = host(&mut broker, None);
    let open = |link: &mut RawLink, broker: &mut Broker| -> Vec<StreamId> {
        let streams = (0..12).map(|_| link.open(&Preface::channel(request("hosted"))).1).collect();
        link.exchange(broker);
        streams
    };
    let (streams, others) = (open(&mut hog, &mut broker), open(&mut other, &mut broker));
    // The host lets each of them write 1 MiB, and then it reads nothing.
    for arrived in host.exchange(&mut broker) {
        let Arrived::Opened(stream, _) = arrived else { continue };
        host.link.mux().write(stream, &Answer::Accept(None).frame());
        host.link.mux().credit(stream, (1 << 20).try_into().expect("not zero"));
    }
    host.flush(&mut broker);
    let mut all = 0;
    for (link, streams) in [(&mut hog, &streams), (&mut other, &others)] {
        assert_eq!(accepted(&link.exchange(&mut broker)), 12);
        all += streams.iter().map(|stream| link.link.mux().writable(*stream)).sum::<u64>();
    }
    assert!(all > 24 * WINDOW, "no window has grown: {all}");
    assert!(all <= 24 * WINDOW + (1 << 20), "they grow beyond the bound of the host's link: {all}");
    assert_eq!(broker.audit(), Ok(()));
    assert!(reached(&broker, Limit::LinkWindow) > 0);
    broker.disconnected(host.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(broker.audit(), Ok(()));
    assert_eq!(broker.windows_grown(), 0);
}

fn bytes_before_the_answer() {
    let (mut broker, inline) = broker(limits());
    let (mut hog, _) = peers(&mut broker);
    let (_, stream) = hog.open(&Preface::channel(request("inline")));
    hog.link.mux().credit(stream, (1 << 20).try_into().expect("not zero"));
    let bytes = hog.bytes();
    let asked = turn(&mut broker, Duration::ZERO, &[(hog.conn, bytes)]);
    let channel = asked.iter().find_map(|effect| match effect {
        Effect::Tell(_, Told::Open(channel, _)) => Some(*channel),
        _ => None,
    });
    let channel = channel.expect("the plugin is asked");
    assert_eq!(broker.room(inline, channel), WINDOW);
    assert_eq!(broker.write(inline, channel, &[7; 200_000]), Ok(65_536));
    assert_eq!(broker.room(inline, channel), 0);
    broker.accept(inline, channel).expect("it asks for an answer");
    assert_eq!(accepted(&hog.exchange(&mut broker)), 1);
    assert!(broker.room(inline, channel) > WINDOW, "the peer lets it write more");
}

fn unanswered_channels() {
    let (mut broker, _) = broker(Limits { link_window: 4 * WINDOW, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let waits = Request { from: Origin::new(name(UNANSWERED), 1), ..request("inline") };
    let arrived = opened(&mut hog, &mut broker, 20, &waits);
    assert_eq!((arrived.len(), refused(&arrived, Code::LimitReached)), (16, 16));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

/// Opens a stream and writes the beginning of a preface.
fn open_half(link: &mut RawLink) {
    let stream = link.link.open(7).expect("the broker allows more");
    link.link.mux().write(stream, &4096u32.to_be_bytes());
    link.link.mux().credit(stream, NonZeroU64::new(4096).expect("not zero"));
}

fn incomplete_prefaces() {
    let (mut broker, _) = broker(Limits { link_window: 4 * WINDOW, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    (0..20).for_each(|_| open_half(&mut hog));
    let arrived = hog.exchange(&mut broker);
    assert_eq!(refused(&arrived, Code::LimitReached), 16);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

fn time_of_a_preface() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    open_half(&mut hog);
    hog.exchange(&mut broker);
    pass_time(&mut broker, 6);
    assert_eq!(refused(&hog.exchange(&mut broker), Code::HandshakeTimeout), 1);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

fn announce(link: &mut RawLink, broker: &mut Broker, plugins: Vec<Announced>) -> Vec<Arrived> {
    link.send(&Message::Plugins(Plugins { plugins }));
    link.exchange(broker)
}

fn announced_plugins() {
    let (mut broker, _) = broker(Limits { announced: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let plugins =
        |of: &str| (0..40).map(|n| Announced::new(name(&format!("{of}{n}")), 1)).collect();
    let known = |broker: &Broker, number: u8| {
        broker.directory().filter(|entry| entry.server == Key([number; 32])).count()
    };
    announce(&mut hog, &mut broker, plugins("hog"));
    announce(&mut other, &mut broker, plugins("other"));
    assert_eq!((known(&broker, HOG), known(&broker, OTHER)), (16, 16));
    let mut host = RawLink::greeted(&mut broker, 60, Role::Host);
    let rejected = announce(&mut host, &mut broker, plugins("host"));
    let is = |arrived: &&Arrived| matches!(arrived, Arrived::Message(Message::Rejected(_)));
    assert_eq!(rejected.iter().filter(is).count(), 24);
}

fn invited_names() {
    let (mut broker, _) = broker(Limits { invited: 16, ..limits() });
    let (mut hog, mut other) = peers(&mut broker);
    let invites = Some((0..40).map(|n| name(&format!("guest{n}"))).collect());
    let plugin = Announced { invites, ..Announced::new(name("hog"), 1) };
    announce(&mut hog, &mut broker, vec![plugin]);
    assert_eq!(reached(&broker, Limit::Invited), 1);
    let plugin =
        Announced { invites: Some(vec![name("inline")]), ..Announced::new(name("bar"), 1) };
    let arrived = announce(&mut other, &mut broker, vec![plugin]);
    let is = |arrived: &Arrived| matches!(arrived, Arrived::Opened(..));
    assert!(arrived.iter().any(is), "the invited plugin is connected: {arrived:?}");
}

/// A request of a process that says that it is on the machine of the broker.
fn near(to: &str) -> Request {
    Request { at: Some(At { process: Key([77; 32]), machine: HERE, seen: None }), ..request(to) }
}

fn tickets() {
    let (mut broker, inline) = broker(Limits { tickets: 16, ..limits() });
    let socket = Some(SocketName::new([7; 16]));
    broker.set_direct(inline, Direct { socket, ..Direct::default() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 40, &near("inline"));
    assert_eq!((invited(&arrived), accepted(&arrived)), (8, 32), "the rest is passed on");
    assert_eq!(invited(&opened(&mut other, &mut broker, 40, &near("inline"))), 4);
}

fn tickets_of_a_host() {
    let (mut broker, _) = broker(Limits { tickets: 16, ..limits() });
    let _host = host(&mut broker, Some(SocketName::new([7; 16])));
    let (mut hog, mut other) = peers(&mut broker);
    assert_eq!(invited(&opened(&mut hog, &mut broker, 40, &near("hosted"))), 8);
    assert_eq!(invited(&opened(&mut other, &mut broker, 40, &near("hosted"))), 4);
}

fn long_preface() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    let stream = hog.link.open(7).expect("the broker allows more");
    hog.link.mux().write(stream, &4097u32.to_be_bytes());
    hog.flush(&mut broker);
    assert!(broker.is_ending(hog.conn));
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}

fn unknown_tickets() {
    let (mut broker, _) = broker(limits());
    let (mut hog, mut other) = peers(&mut broker);
    for n in 0..100 {
        let asks = Request { ticket: Some(Ticket([n; 32])), ..request("inline") };
        assert_eq!(accepted(&opened(&mut hog, &mut broker, 1, &asks)), 1);
    }
    assert_eq!(broker.unsettled().tickets, 100, "one for each channel");
    broker.disconnected(hog.conn, "gone");
    turns(&mut broker, &[]);
    assert_eq!(broker.unsettled().tickets, 0);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
}
