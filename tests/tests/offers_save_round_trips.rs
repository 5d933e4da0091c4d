//! A plugin that is invited is connected by its server without a further request, so the first
//! bytes arrive as soon as the servers' handshake allows.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::time::{Duration, Instant};
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{HostSetup, Proxy, Server, Setup};

/// The delay of each byte from one server to the other.
const ONE_WAY: Duration = Duration::from_millis(50);

const BAR_INVITES: &str = "name = \"bar\"\n[plugin.config]\ninvites = [\"foo\"]";
const BAR_OPENS: &str = "name = \"bar\"\n[plugin.config]\nopens = \"foo\"";
const FOO: &str = "name = \"foo\"";

fn meets() -> std::path::PathBuf {
    fixtures::plugin(Api::Ours, "meets")
}

/// Two servers with keys; alpha dials beta, through a proxy.
struct Pair {
    alpha: Server,
    beta: Server,
    proxy: Proxy,
    folder: Folder,
}

impl Pair {
    fn new(alpha: &str, beta: &str, delay: Duration) -> Pair {
        let plugin = |setup: Setup, table| setup.plugin(&meets(), table);
        Pair::of(|setup| plugin(setup, alpha), |setup| plugin(setup, beta), delay)
    }

    fn of(alpha: impl Fn(Setup) -> Setup, beta: impl Fn(Setup) -> Setup, delay: Duration) -> Pair {
        let folder = Folder::new();
        let dials = Setup::new("alpha");
        let accepts = Setup::new("beta").secured().peer_key(dials.key_in(&folder));
        let beta = Server::start(&folder, &beta(accepts));
        let proxy = Proxy::start(beta.tcp_address()).delay(delay);
        let dials = alpha(dials.peer_with(beta.key(), proxy.address()));
        let alpha = Server::start(&folder, &dials);
        Pair { alpha, beta, proxy, folder }
    }
}

/// When each of two servers' plugins has received bytes of the other, counted from the TCP
/// connection.
fn times(alpha: &str, beta: &str) -> [Duration; 2] {
    let pair = Pair::new(alpha, beta, ONE_WAY);
    let servers = [&pair.alpha, &pair.beta];
    let heard = std::thread::scope(|scope| {
        let waiting = servers.map(|server| {
            scope.spawn(|| {
                server.log().wait_for(0, "heard hello from");
                Instant::now()
            })
        });
        waiting.map(|thread| thread.join().expect("it hears the other one"))
    });
    assert_eq!(pair.proxy.connections(), 1);
    let begun = pair.proxy.last_connection().expect("they are connected");
    heard.map(|at| at.saturating_duration_since(begun))
}

/// The best of several attempts. A busy machine may be slower, but no attempt can be faster than
/// the delays.
fn best(alpha: &str, beta: &str) -> [Duration; 2] {
    let all = [0; 3].map(|_| times(alpha, beta));
    [0, 1].map(|side| all.iter().map(|times| times[side]).min().expect("some"))
}

fn round_trips(time: Duration) -> u128 {
    time.as_millis() / (2 * ONE_WAY).as_millis()
}

#[test]
fn an_offers_first_byte_needs_no_round_trip_beyond_the_handshake() {
    // The handshake needs two round trips until the dialler knows that it is admitted. Beta, the
    // acceptor, connects the two as soon as it has read alpha's hello, half a round trip before.
    for (what, alpha, beta) in
        [("bar dials", BAR_INVITES, FOO), ("bar is dialled", FOO, BAR_INVITES)]
    {
        let offered = best(alpha, beta);
        let asking = |table| if table == BAR_INVITES { BAR_OPENS } else { table };
        let asked = best(asking(alpha), asking(beta));
        let [trips, trips_asked] = [offered, asked].map(|times| times.map(round_trips));
        eprintln!("{what}: offered {trips:?} {offered:?}; asked {trips_asked:?} {asked:?}");
        for side in [0, 1] {
            assert!(trips[side] <= 2, "{what}, side {side}: {offered:?}");
            assert!(trips[side] <= trips_asked[side], "{what}, side {side}: asking is faster");
        }
    }
}

fn pair(alpha: &str, beta: &str) -> Pair {
    Pair::new(alpha, beta, Duration::ZERO)
}

fn count(server: &Server, text: &str) -> usize {
    server.log().text().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn both_plugins_are_asked_as_if_the_other_had_opened_the_channel() {
    let pair = pair(BAR_INVITES, FOO);
    pair.alpha.log().wait_for(0, "asked by foo");
    pair.beta.log().wait_for(0, "asked by bar");
    pair.alpha.log().wait_for(0, "heard hello from foo");
    pair.beta.log().wait_for(0, "heard hello from bar");
    for server in [&pair.alpha, &pair.beta] {
        let status = server.wait_until("one channel", |status| status.channels.len() == 1);
        assert_eq!(status.channels[0].route, "link", "{status:#?}");
    }
}

#[test]
fn two_plugins_that_invite_each_other_get_one_channel() {
    let foo = "name = \"foo\"\n[plugin.config]\ninvites = [\"bar\"]";
    for (alpha, beta) in [(BAR_INVITES, foo), (foo, BAR_INVITES)] {
        let pair = pair(alpha, beta);
        for server in [&pair.alpha, &pair.beta] {
            server.log().wait_for(0, "heard hello from");
            assert_eq!(server.status().channels.len(), 1);
            assert_eq!(count(server, "asked by"), 1, "{}", server.log().text());
        }
    }
}

#[test]
fn the_refusal_of_an_invited_plugin_arrives() {
    let foo = "name = \"foo\"\n[plugin.config]\nrefuses = \"we are closed\"";
    let pair = pair(BAR_INVITES, foo);
    let line = pair.alpha.log().wait_for(0, "ended");
    assert!(line.contains("not-today: we are closed"), "{line}");
    pair.beta.wait_until("nothing is left", |status| status.channels.is_empty());
    pair.alpha.wait_until("nothing is left", |status| status.channels.is_empty());
    assert_eq!(count(&pair.beta, "asked by bar"), 1);
}

#[test]
fn the_refusal_of_an_inviting_plugin_arrives() {
    let bar = format!("{BAR_INVITES}\nrefuses = \"we are full\"");
    let pair = pair(&bar, FOO);
    let line = pair.beta.log().wait_for(0, "ended");
    assert!(line.contains("not-today: we are full"), "{line}");
    pair.beta.wait_until("nothing is left", |status| status.channels.is_empty());
    pair.alpha.wait_until("nothing is left", |status| status.channels.is_empty());
}

#[test]
fn an_invited_plugin_that_starts_later_is_connected() {
    let none = |setup: Setup| setup;
    let bar = |setup: Setup| setup.plugin(&meets(), BAR_INVITES);
    let pair = Pair::of(bar, none, Duration::ZERO);
    pair.beta.wait_until("linked", |status| status.knows_remote("bar"));
    // A host of beta has the invited plugin, which is connected through its server.
    let setup = HostSetup::beside("host", &pair.beta).plugin(&meets(), FOO);
    let host = Server::start_host(None, &pair.folder, &setup);
    host.log().wait_for(0, "heard hello from bar");
    pair.alpha.log().wait_for(0, "heard hello from foo");
    let status = pair.beta.status();
    assert_eq!(status.channels.len(), 1, "{status:#?}");
}

#[test]
fn an_invited_plugin_in_a_process_is_connected() {
    let foo = format!("placement = \"process\"\n{FOO}");
    let pair = pair(BAR_INVITES, &foo);
    pair.alpha.log().wait_for(0, "heard hello from foo");
    pair.beta.log().wait_for(0, "heard hello from bar");
    for server in [&pair.alpha, &pair.beta] {
        let status = server.status();
        assert_eq!(status.channels.len(), 1, "{status:#?}");
    }
}

#[test]
fn an_unexposed_plugin_sends_no_offers() {
    let nobody = |setup: Setup| {
        setup.plugin_for_key(trunkline_core::key::Key([3; 32]), &meets(), BAR_INVITES)
    };
    let foo = |setup: Setup| setup.plugin(&meets(), FOO);
    let pair = Pair::of(nobody, foo, Duration::ZERO);
    pair.alpha.wait_until("linked", |status| status.knows_remote("foo"));
    // Beta was notified of bar in or right behind hello, and therefore before this.
    let host = HostSetup::beside("host", &pair.alpha).plugin(&meets(), "name = \"last\"");
    let _host = Server::start_host(None, &pair.folder, &host);
    let status = pair.beta.wait_until("beta knows all", |status| status.knows_remote("last"));
    assert!(!status.knows_remote("bar"), "{status:#?}");
    assert_eq!(count(&pair.beta, "asked by") + count(&pair.alpha, "asked by"), 0);
    assert!(status.channels.is_empty(), "{status:#?}");
}
