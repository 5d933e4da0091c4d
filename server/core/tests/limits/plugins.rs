//! Rows of plugins that are announced, and of tickets.

use super::*;

pub(super) fn announced_plugins() {
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

pub(super) fn invited_names() {
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

pub(super) fn tickets() {
    let (mut broker, inline) = broker(Limits { tickets: 16, ..limits() });
    let socket = Some(SocketName::new([7; 16]));
    broker.set_direct(inline, Direct { socket, ..Direct::default() });
    let (mut hog, mut other) = peers(&mut broker);
    let arrived = opened(&mut hog, &mut broker, 40, &near("inline"));
    assert_eq!((invited(&arrived), accepted(&arrived)), (8, 32), "the rest is passed on");
    assert_eq!(invited(&opened(&mut other, &mut broker, 40, &near("inline"))), 4);
}

pub(super) fn tickets_of_a_host() {
    let (mut broker, _) = broker(Limits { tickets: 16, ..limits() });
    let _host = host(&mut broker, Some(SocketName::new([7; 16])));
    let (mut hog, mut other) = peers(&mut broker);
    assert_eq!(invited(&opened(&mut hog, &mut broker, 40, &near("hosted"))), 8);
    assert_eq!(invited(&opened(&mut other, &mut broker, 40, &near("hosted"))), 4);
}

pub(super) fn unknown_tickets() {
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
