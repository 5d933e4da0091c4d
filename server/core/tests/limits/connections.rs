//! Rows of connections and of what is said on them.

use super::*;

pub(super) fn half_open() {
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

pub(super) fn time_until_hello() {
    let (mut broker, _) = broker(limits());
    let silent = RawLink::connect(&mut broker, Grants::Everything);
    let other = RawLink::greeted(&mut broker, OTHER, Role::Server);
    pass_time(&mut broker, 6);
    assert!(broker.is_ending(silent.conn) && !broker.is_ending(other.conn));
    assert_eq!(reached(&broker, Limit::Handshake), 1);
}

pub(super) fn connections() {
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

pub(super) fn connections_over_unix() {
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

pub(super) fn wanted_links() {
    let (mut broker, hog) = broker(Limits { links: 16, ..limits() });
    let other = plugin(&mut broker, "other");
    let mut open = |plugin, first: u8| {
        let far = |n: u8| format!("net:203.0.113.1:8008~shs:{}", Key([n; 32]));
        (first..first + 20).filter(|n| broker.open_link(plugin, &far(*n)).is_ok()).count()
    };
    assert_eq!(open(hog, 100), 8, "half of them");
    assert_eq!(open(other, 150), 4, "half of what is left");
}

pub(super) fn silence() {
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

pub(super) fn redial() {
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

pub(super) fn nothing_in_common() {
    let (mut broker, _) = broker(Limits::default());
    let (hog, mut other) = peers(&mut broker);
    assert_eq!(accepted(&opened(&mut other, &mut broker, 1, &request("inline"))), 1);
    pass_time(&mut broker, 6);
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
}

pub(super) fn messages_that_wait() {
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

pub(super) fn pongs_that_wait() {
    let (mut broker, _) = broker(Limits { outbox: 64 * 1024, ..limits() });
    let (mut hog, other) = peers(&mut broker);
    for _ in 0..300 {
        (0..1_000).for_each(|_| hog.link.mux().global_ping());
        hog.flush(&mut broker);
    }
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
}

pub(super) fn control_message() {
    let (mut broker, _) = broker(limits());
    let (mut hog, other) = peers(&mut broker);
    hog.link.mux().write(StreamId::CONTROL, &65_537u32.to_be_bytes());
    hog.flush(&mut broker);
    assert!(broker.is_ending(hog.conn) && !broker.is_ending(other.conn));
    assert_eq!(reached(&broker, Limit::ControlMessage), 1);
}
