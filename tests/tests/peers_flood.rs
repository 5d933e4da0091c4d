//! Peers, hosts and plugins that flood a real server without breaking a rule: all others go on.
//! `floods_are_measured.rs` measures the worst floods in release builds.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::time::Duration;
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Answer, Hello, Request, Role};
use trunkline_core::key::Key;
use trunkline_core::reason::Code;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::floods::{self, ECHOES, Over, RoundTrips, Scene};
use trunkline_tests::harness::{Peer, Setup, Socket, hello};

/// The limit of an innocent peer's round trip beside a flood. It is long, because builds are not
/// optimized here and other tests run at the same time. A server that is stalled takes far longer.
const PROMPT: Duration = Duration::from_secs(2);

/// The limit of a turn of the server's loop, as generous for the same reason.
const TURN: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(1) } else { Duration::from_millis(250) };

/// Checks that only the peers named `evil` were harmed, and that the server was never stalled.
fn check(scene: &mut Scene, trips: &RoundTrips) {
    println!("{} round trips beside it, the longest {:?}", trips.count(), trips.worst());
    assert!(trips.worst() < PROMPT, "a round trip beside it took {:?}", trips.worst());
    scene.check_others();
    let turn = scene.longest_turn();
    println!("the longest turn took {turn:?}");
    assert!(turn < TURN, "a turn of the loop took {turn:?}");
}

fn scene() -> Scene {
    Scene::new(Over::Unix, Setup::new("alpha"))
}

#[test]
fn thousands_of_changes_of_one_plugin_harm_no_host() {
    let mut scene = scene();
    let mut evil = scene.peer(1);
    let flips = floods::versions_flip("aa");
    let (linked, trips) =
        scene.innocent.beside("echo", || evil.send_all(&vec![flips; 8]) && evil.catch_up());
    assert!(linked, "{}", scene.alpha.log().text());
    check(&mut scene, &trips);
    drop(evil);
    scene.check_nothing_remains();
}

#[test]
fn a_host_links_in_time_although_peers_have_announced_28_000_plugins() {
    let mut scene = scene();
    let (first, alone) = scene.link_host("first");
    let mut peers: Vec<Peer> = (1..=7).map(|key| scene.peer(key)).collect();
    let ((), trips) = scene.innocent.beside("echo", || {
        for (number, peer) in peers.iter_mut().enumerate() {
            let names = floods::names(&format!("service-{number}-"), 4000);
            assert!(peer.send_all(&floods::announcements(&names)) && peer.catch_up());
        }
    });
    let (second, among_many) = scene.link_host("second");
    println!("a host's plugin ran after {alone:?}, among 28,000 others after {among_many:?}");
    assert!(among_many < alone + Duration::from_secs(2), "{}", second.log().text());
    let last = &mut peers[6];
    assert!(last.send_all(&[floods::announcement("late", 1)]));
    (0..2).for_each(|_| floods::wait_for_caller(last, "late"));
    check(&mut scene, &trips);
    drop((first, second));
}

#[test]
fn empty_messages_are_cheap_however_many_plugins_a_peer_has() {
    for invites in [0, 64] {
        let mut scene = scene();
        let mut evil = scene.peer(1);
        let plugins = floods::invitations(&floods::names("p", 4096), invites);
        assert!(evil.send_all(&plugins) && evil.catch_up());
        let nothing = floods::nothing_withdrawn();
        let (linked, trips) = scene.innocent.beside("echo", || {
            (0..4).all(|_| evil.send_repeatedly(&nothing, 3500)) && evil.catch_up()
        });
        assert!(linked, "{}", scene.alpha.log().text());
        println!("with {invites} invitations each:");
        check(&mut scene, &trips);
        drop(evil);
        scene.check_nothing_remains();
    }
}

#[test]
fn an_invitation_that_answers_an_offer_ends_the_link_and_leaves_no_channel() {
    let mut scene = scene();
    for wanted in ECHOES {
        let mut evil = scene.peer(1);
        let ((answered, reason), trips) =
            scene.innocent.beside("echo", || floods::invite_back(&mut evil, wanted, 400));
        let reason = reason.unwrap_or_else(|| panic!("{wanted}: the link goes on"));
        assert!(reason.is(Code::ProtocolViolation), "{wanted}: {reason}");
        drop(evil);
        println!("{wanted}: {answered} offers were answered by invitations: {reason}");
        check(&mut scene, &trips);
        scene.check_nothing_remains();
    }
}

#[test]
fn made_up_tickets_take_no_room_from_others() {
    let mut scene = scene();
    let (mut evil, mut other) = (scene.peer(1), scene.peer(2));
    let requests = (0..4200).map(|number| floods::with_made_up_ticket("echo", 1, number));
    let (answers, trips) = scene.innocent.beside("echo", || floods::ask_all(&mut evil, requests));
    let accepted = answers.iter().filter(|answer| matches!(answer, Answer::Accept(_))).count();
    println!("{accepted} of 4,200 channels with made-up tickets were accepted");
    let answer = floods::ask(&mut other, floods::with_made_up_ticket("echo", 2, 0));
    assert!(matches!(answer, Answer::Accept(_)), "another peer's channel: {answer:?}");
    check(&mut scene, &trips);
    drop((evil, other));
    scene.check_nothing_remains();
}

#[test]
fn one_peer_cannot_take_all_tickets() {
    let mut scene = scene();
    let (mut evil, mut other) = (scene.peer(1), scene.peer(2));
    let machine = scene.machine();
    let from = |key| floods::from_host("echo-p", Key([key; 32]), machine);
    let (answers, trips) =
        scene.innocent.beside("echo", || floods::ask_all(&mut evil, (0..4200).map(|_| from(1))));
    let invited = answers.iter().filter(|answer| matches!(answer, Answer::Direct(_))).count();
    println!("{invited} of 4,200 requests of one peer were answered by invitations");
    assert!((1..4096).contains(&invited), "one peer had {invited} tickets");
    let answer = floods::ask(&mut other, from(2));
    let Answer::Direct(invitation) = answer else { panic!("no invitation: {answer:?}") };
    // The last route redeems the ticket in the plugin's own process.
    let again = Request { ticket: Some(invitation.ticket), ..from(2) };
    let answer = floods::ask(&mut other, again);
    assert!(matches!(answer, Answer::Accept(_)), "another peer's channel: {answer:?}");
    check(&mut scene, &trips);
    drop((evil, other));
    scene.check_nothing_remains();
}

#[test]
fn a_peer_that_alternates_between_two_sets_of_4096_plugins_delays_no_others() {
    let mut scene = scene();
    let mut evil = scene.peer(1);
    let sets = ["a", "b"].map(|prefix| floods::names(prefix, 4096));
    let messages =
        sets.each_ref().map(|set| (floods::announcements(set), floods::withdrawals(set)));
    let (linked, trips) = scene.innocent.beside("echo", || {
        for (announced, withdrawn) in messages.iter().cycle().take(10) {
            evil.send_all(announced);
            evil.send_all(withdrawn);
        }
        evil.send_all(&messages[0].0) && evil.catch_up()
    });
    assert!(linked, "{}", scene.alpha.log().text());
    let status = scene.alpha.status();
    let known = status.plugins.iter().filter(|plugin| plugin.placement == "remote").count();
    assert_eq!(known, 4096, "the last set is known, and nothing else");
    check(&mut scene, &trips);
    drop(evil);
    scene.check_nothing_remains();
}

#[test]
fn a_host_that_registers_and_withdraws_4096_plugins_in_a_loop_delays_no_others() {
    let mut scene = scene();
    let hello = Hello { role: Role::Host, name: "evil".into(), ..hello(Key([1; 32])) };
    let mut evil = Peer::send_hello(Socket::unix(&scene.alpha), MuxRole::Dialler, hello);
    let names = floods::names("h", 4096);
    let (registered, withdrawn) = (floods::registrations(&names), floods::withdrawals(&names));
    let (linked, trips) = scene.innocent.beside("echo", || {
        for _ in 0..6 {
            evil.send_all(&registered);
            evil.send_all(&withdrawn);
        }
        evil.catch_up()
    });
    assert!(linked, "{}", scene.alpha.log().text());
    check(&mut scene, &trips);
    drop(evil);
    scene.check_nothing_remains();
}

#[test]
fn a_plugin_that_opens_and_aborts_channels_in_a_loop_delays_no_others() {
    let fickle = fixtures::plugin(Api::Ours, "fickle");
    let mut setup = Setup::new("alpha");
    for name in ECHOES {
        let config = format!("name = \"to-{name}\"\n[plugin.config]\nto = {name:?}");
        setup = setup.plugin(&fickle, &config);
    }
    let mut scene = Scene::new(Over::Unix, setup);
    let mut peer = scene.peer(1);
    let chans = ECHOES.map(|name| peer.open(&format!("to-{name}")));
    let aborted = |line: &str| {
        let (aborted, _) = line.split_once(' ').expect("two numbers");
        aborted.parse::<u64>().expect("a number")
    };
    let (counts, trips) = scene.innocent.beside("echo-p", || {
        chans.map(|chan| {
            let mut count = 0;
            while count < 5000 {
                count = aborted(&peer.ask(chan, "how many"));
            }
            count
        })
    });
    println!("channels that were opened and aborted: {counts:?}");
    check(&mut scene, &trips);
}
