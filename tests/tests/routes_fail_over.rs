//! Routes that do not answer, answer too late, or lead to a refusal: decided by processes in
//! virtual time.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::net::SocketAddr;
use std::time::Duration;
use trunkline_core::address::{Address, Scope, Shareable};
use trunkline_core::broker::{Direct, DirectDial, DirectPlace, Opened};
use trunkline_core::control::{Role, SocketName};
use trunkline_core::key::Key;
use trunkline_core::reason::{Code, Reason};
use trunkline_core::route::Route;
use trunkline_tests::processes::{Answers, PipeEnd, Processes};

const SERVER: usize = 0;
const ASKS: usize = 1;
const ANSWERS: usize = 2;

/// How long a route has before the next one starts.
const APART: Duration = Duration::from_millis(250);
const MOMENT: Duration = Duration::from_millis(1);

fn net(text: &str) -> Vec<Shareable> {
    let address: Address = text.parse().expect("an address");
    address.shareable(Scope::Local).into_iter().collect()
}

/// A server and two hosts on machines of their own; the callee accepts direct connections.
fn scene(direct: Direct, seen: [Option<&str>; 2]) -> Processes {
    let mut all = Processes::default();
    all.add(Role::Server, 0, "server");
    all.add(Role::Host, 1, "asks");
    all.add(Role::Host, 2, "answers");
    let seen: [Option<SocketAddr>; 2] = seen.map(|at| Some(at?.parse().expect("an address")));
    all.link(ASKS, SERVER, seen[0]);
    all.link(ANSWERS, SERVER, seen[1]);
    all.advertise(ANSWERS, direct);
    all
}

fn dialled_by_net() -> Processes {
    let direct = Direct { net: net("net:203.0.113.9:1000~shs"), ..Direct::default() };
    scene(direct, [None, None])
}

impl Drive for Processes {}

/// Actions of the tests on processes.
trait Drive: Sized + std::borrow::BorrowMut<Processes> {
    /// The one dial that the caller wants now.
    fn take_dial(&mut self) -> DirectDial {
        let dials = std::mem::take(&mut self.borrow_mut().all[ASKS].dials);
        let [dial] = <[DirectDial; 1]>::try_from(dials).expect("one place is dialled");
        dial
    }

    /// Lets a dial reach the other host.
    fn reach(&mut self, dial: &DirectDial) -> [trunkline_core::broker::ConnId; 2] {
        let all = self.borrow_mut();
        let key: Key = all.all[ANSWERS].broker.key();
        let dialler = PipeEnd { process: ASKS, how: Opened::DirectDial(dial.id), sees: None };
        let acceptor = PipeEnd { process: ANSWERS, how: Opened::Direct, sees: None };
        let conns = all.connect(dialler, acceptor, Some(key));
        all.run();
        conns
    }

    /// The route of the one channel, as each host reports it.
    fn routes(&self) -> Vec<Route> {
        let all = self.borrow();
        let of = |number: usize| all.all[number].broker.status().channels;
        [ASKS, ANSWERS].into_iter().flat_map(of).map(|channel| channel.route).collect()
    }
}

fn reason(code: Code) -> impl Fn(&Option<Reason>) -> bool {
    move |reason| reason.as_ref().is_some_and(|reason| reason.is(code))
}

#[test]
fn relay_starts_250_ms_after_an_address_that_does_not_answer() {
    let mut all = dialled_by_net();
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    assert!(matches!(&dial.place, DirectPlace::Net(to) if to.len() == 1), "{dial:?}");
    all.wait(APART - MOMENT);
    assert!(all.all[ASKS].opened.is_empty() && all.all[ANSWERS].asked.is_empty());
    all.wait(MOMENT);
    assert_eq!((all.all[ASKS].opened.len(), all.all[ANSWERS].asked.len()), (1, 1));
    assert_eq!(all.routes(), [Route::Relay; 2]);
    assert_eq!(all.all[ASKS].dropped, [dial.id], "nobody waits for the place any more");

    // It answers all the same, and is closed.
    let conns = all.reach(&dial);
    for (process, conn) in [ASKS, ANSWERS].into_iter().zip(conns) {
        assert!(all.all[process].has_hung_up(conn), "process {process} keeps it");
    }
    assert_eq!((all.all[ANSWERS].asked.len(), all.routes()), (1, [Route::Relay; 2].to_vec()));
    all.audit();
}

#[test]
fn after_a_refused_dial_the_next_route_starts_at_once() {
    let mut all = dialled_by_net();
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    all.all[ASKS].broker.direct_failed(dial.id, "connection refused");
    all.run();
    assert_eq!(all.routes(), [Route::Relay; 2]);
}

#[test]
fn a_relay_after_a_direct_connection_does_not_ask_the_plugin_again() {
    let mut all = dialled_by_net();
    all.all[ANSWERS].answers = Answers::Waits;
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    all.reach(&dial);
    assert_eq!(all.all[ANSWERS].asked.len(), 1);
    all.wait(Duration::from_secs(2));
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "the relay was let in with the same ticket");
    assert!(all.all[ASKS].ended.is_empty(), "the plugin has not answered: {:?}", all.all[ASKS]);
    let (plugin, asked) = (all.all[ANSWERS].plugin, all.all[ANSWERS].asked[0]);
    all.all[ANSWERS].broker.accept(plugin, asked).expect("it waits for an answer");
    all.run();
    assert_eq!(all.routes(), [Route::Tcp; 2]);
    assert!(all.all[SERVER].broker.has_no_channels(), "nothing is left of the relay");
    all.audit();
}

#[test]
fn a_direct_connection_that_loses_to_the_relay_is_closed() {
    let mut all = dialled_by_net();
    all.all[ANSWERS].answers = Answers::Waits;
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    all.wait(APART);
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "the relay has asked");
    let [near, far] = all.reach(&dial);
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "the direct connection was let in as well");
    assert!(all.all[ASKS].has_hung_up(near) && all.all[ANSWERS].has_hung_up(far));
    let (plugin, asked) = (all.all[ANSWERS].plugin, all.all[ANSWERS].asked[0]);
    all.all[ANSWERS].broker.accept(plugin, asked).expect("it waits for an answer");
    all.run();
    assert_eq!(all.routes(), [Route::Relay; 2]);
    all.audit();
}

#[test]
fn routes_start_in_order_with_a_stagger() {
    let direct = Direct { net: net("net:203.0.113.9:1000~shs"), ..Direct::default() };
    let mut all = scene(direct, [Some("198.51.100.1:40"), Some("198.51.100.2:50")]);
    all.all[ANSWERS].answers = Answers::Waits;
    all.all[ASKS].open("answers");
    all.run();
    assert!(matches!(all.take_dial().place, DirectPlace::Net(_)));
    // The other side dials at once, because the caller takes a while.
    let [meets] = &all.all[ANSWERS].dials[..] else { panic!("it dials: {:?}", all.all[ANSWERS]) };
    let DirectPlace::Answer(to) = &meets.place else { panic!("it meets: {meets:?}") };
    assert!(to[0].to_string().starts_with("net:198.51.100.1:40~"), "{to:?}");
    all.wait(APART);
    let dial = all.take_dial();
    let DirectPlace::Punch(to) = &dial.place else { panic!("it meets: {dial:?}") };
    assert!(to[0].to_string().starts_with("net:198.51.100.2:50~"), "{to:?}");
    assert!(all.all[ANSWERS].asked.is_empty());
    all.wait(APART);
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "the relay has asked");
}

#[test]
fn a_refusal_on_a_direct_route_ends_the_other_routes() {
    let mut all = dialled_by_net();
    all.all[ANSWERS].answers = Answers::Refuses;
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    let [near, far] = all.reach(&dial);
    let [Some(why)] = &all.all[ASKS].ended[..] else { panic!("refused: {:?}", all.all[ASKS]) };
    assert_eq!(why.to_string(), "plugin says not-today: it is closed");
    all.wait(Duration::from_secs(1));
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "another route was tried");
    assert!(all.all[ASKS].has_hung_up(near) && all.all[ANSWERS].has_hung_up(far));
    assert!(all.all.iter().all(|process| process.broker.has_no_channels()));
}

#[test]
fn a_host_that_disappears_between_ticket_and_dial_is_reported() {
    let mut all = dialled_by_net();
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    let uplink = all.all[ANSWERS].broker.uplink_conn().expect("it is linked");
    all.cut(ANSWERS, uplink);
    all.run();
    all.all[ASKS].broker.direct_failed(dial.id, "connection refused");
    all.run();
    let ended = &all.all[ASKS].ended;
    assert!(matches!(&ended[..], [why] if reason(Code::UnknownPlugin)(why)), "{ended:?}");
    assert!(all.all[ASKS].broker.has_no_channels() && all.all[SERVER].broker.has_no_channels());
}

#[test]
fn a_server_that_disappears_after_the_invitation_does_not_harm_a_direct_channel() {
    let mut all = dialled_by_net();
    let channel = all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    let uplink = all.all[ASKS].broker.uplink_conn().expect("it is linked");
    all.cut(ASKS, uplink);
    all.reach(&dial);
    assert_eq!(all.routes(), [Route::Tcp; 2]);
    let plugin = all.all[ASKS].plugin;
    assert_eq!(all.all[ASKS].broker.write(plugin, channel, b"hello"), Ok(5));
    all.run();
    assert_eq!(all.all[ANSWERS].bytes, b"hello");
}

#[test]
fn bytes_written_before_the_route_is_up_arrive_once() {
    let direct = Direct { socket: Some(SocketName::new([1; 16])), ..Direct::default() };
    let mut all = Processes::default();
    all.add(Role::Server, 0, "server");
    all.add(Role::Host, 1, "asks");
    all.add(Role::Host, 1, "answers");
    all.link(ASKS, SERVER, None);
    all.link(ANSWERS, SERVER, None);
    all.advertise(ANSWERS, direct);
    let channel = all.all[ASKS].open("answers");
    let plugin = all.all[ASKS].plugin;
    let mut sent = Vec::new();
    for part in [b"early ".as_slice(), b"bytes ", b"and more"] {
        let taken = all.all[ASKS].broker.write(plugin, channel, part);
        assert_eq!(taken, Ok(part.len()), "there is room");
        sent.extend_from_slice(part);
        all.run();
        all.wait(Duration::from_millis(100));
    }
    // The unix socket was dialled and does not answer: relay.
    assert_eq!(all.routes(), [Route::Relay; 2]);
    assert_eq!(all.all[ANSWERS].bytes, sent);
    all.audit();
}

#[test]
fn a_thousand_cut_direct_connections_leave_nothing_behind() {
    let mut all = dialled_by_net();
    for number in 1..=1000 {
        all.all[ASKS].open("answers");
        all.run();
        let dial = all.take_dial();
        let [near, far] = all.reach(&dial);
        assert_eq!(all.routes(), [Route::Tcp; 2]);
        match number % 2 {
            0 => all.cut(ASKS, near),
            _ => all.cut(ANSWERS, far),
        }
        all.run();
        let lost = all.all[ASKS].ended.iter().chain(&all.all[ANSWERS].ended);
        assert_eq!(lost.filter(|why| reason(Code::LinkLost)(why)).count(), 2 * number);
        assert!(all.all.iter().all(|process| process.broker.has_no_channels()));
    }
    all.audit();
    // The tickets are forgotten in their time; then only the heartbeats of the links are left.
    all.wait(Duration::from_secs(31));
    all.all[ASKS].open("answers");
    all.run();
    let dial = all.take_dial();
    all.reach(&dial);
    assert_eq!(all.routes(), [Route::Tcp; 2]);
}
