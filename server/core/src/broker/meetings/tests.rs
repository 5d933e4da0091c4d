//! The meetings alone, without a broker: the routes of a channel, one after the other, and tickets
//! that come before or after their connection.

use super::arrivals::Presenting;
use super::direct::{Introduction, Shown};
use super::{Event, Meetings};
use crate::broker::effect::{DirectDial, Effect};
use crate::broker::{Accept, Caller, Settings};
use crate::bymux::StreamId;
use crate::control::{
    Answer, Expect, Invitation, Message, Origin, Presented, Purpose, Request, Role, SocketName,
    Ticket,
};
use crate::ids::{ConnId, DirectId, Handle};
use crate::key::Key;
use crate::limits::{Limit, Limits};
use crate::name::Name;
use crate::reason::{Code, Reason};
use crate::route::Route;
use alloc::vec::Vec;
use core::time::Duration;
use trunkline_shs::Identity;

const NEAR: Handle = Handle(1 << 32 | 1);
const FAR: Handle = Handle(9);
const SERVER: Key = Key([1; 32]);
const PROCESS: Key = Key([2; 32]);
const HOST: ConnId = ConnId(5);
const CALLER: ConnId = ConnId(7);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn meetings() -> Meetings {
    Meetings::new(&Settings {
        identity: Identity::from_seed(&[3; 32]),
        network: [4; 32],
        accept: Accept::Listed,
        name: "alpha".into(),
        role: Role::Server,
        machine: Key([5; 32]),
        software: "test".into(),
        limits: Limits { tickets: 2, ..Limits::default() },
        secret: [6; 32],
        seed: 7,
    })
}

/// A channel whose routes begin to be tried.
fn invited(routes: &[Route]) -> Meetings {
    let invitation = Invitation {
        ticket: Ticket([7; 32]),
        routes: routes.to_vec(),
        process: PROCESS,
        socket: None,
        net: None,
        seen: None,
        loopback: Some(8008),
    };
    let request = Request::new(name("asked"), 0, Origin::new(name("asker"), 1));
    let mut meetings = meetings();
    meetings.begin(NEAR, (SERVER, SERVER), invitation, request);
    meetings
}

fn events(meetings: &mut Meetings) -> Vec<Event> {
    core::iter::from_fn(|| meetings.next_event()).collect()
}

/// The direct connections that are dialled, of all that happened.
fn dialled(events: &[Event]) -> Vec<DirectId> {
    let dialled = |event: &Event| match event {
        Event::Do(Effect::DialDirect(DirectDial { id, .. })) => Some(*id),
        _ => None,
    };
    events.iter().filter_map(dialled).collect()
}

fn expect(ticket: Ticket) -> Expect {
    let from = Origin::new(name("asker"), 1);
    Expect { ticket, to: name("asked"), from, process: PROCESS, punch: None, calls: false }
}

fn presenting(ticket: Ticket) -> Presenting {
    let presented = Presented { ticket, route: Route::Tcp };
    Presenting { conn: CALLER, stream: StreamId(2), used: 40, presented }
}

#[test]
fn each_route_is_tried_once_and_the_last_reason_is_given_when_none_is_left() {
    let mut meetings = invited(&[Route::Tcp, Route::Relay, Route::Tcp]);
    let begun = events(&mut meetings);
    let [dial] = dialled(&begun)[..] else { panic!("TCP is tried first, not {begun:?}") };
    let apart = begun.iter().find_map(|event| match event {
        Event::Deadline(at) => *at,
        _ => None,
    });
    meetings.begin_turn(apart.expect("the next route has its time"));
    meetings.tick();
    let next = events(&mut meetings);
    assert!(matches!(next[..], [Event::AskServers(NEAR, Route::Relay), Event::Deadline(Some(_))]));
    meetings.add_candidate(NEAR, FAR, None);
    meetings.dial_failed(dial, "nobody is there");
    let failed = events(&mut meetings);
    assert!(matches!(failed[..], [Event::Failed(NEAR, Route::Tcp, _), Event::Deadline(None)]));
    meetings.dial_failed(dial, "nobody is there");
    assert!(meetings.is_settled(), "a dial fails once");
    meetings.candidate_lost(NEAR, FAR, Reason::server(Code::LinkLost, "gone"));
    match &events(&mut meetings)[..] {
        [
            Event::Failed(..),
            Event::PassOver { far: FAR, direct: None },
            Event::Refused(NEAR, why),
        ] => {
            assert!(why.is(Code::LinkLost));
        }
        other => panic!("no route is left, but {other:?}"),
    }
    assert_eq!(meetings.attempts(), 0);
}

#[test]
fn the_first_route_that_is_accepted_gets_the_channel_and_the_others_are_given_up() {
    let mut meetings = invited(&[Route::Tcp, Route::Relay, Route::Tcp]);
    let [dial] = dialled(&events(&mut meetings))[..] else { panic!("TCP is tried first") };
    let (near, presented) = meetings.dial_up(dial).expect("the channel waits for it");
    assert_eq!((near, presented), (NEAR, Presented { ticket: Ticket([7; 32]), route: Route::Tcp }));
    meetings.add_candidate(NEAR, FAR, Some((CALLER, Route::Tcp)));
    meetings.begin_turn(Duration::from_secs(1));
    meetings.tick();
    meetings.add_candidate(NEAR, Handle(10), None);
    drop(events(&mut meetings));
    assert_eq!(meetings.answered(NEAR, Handle(10), Answer::Accept(None)), Some(Route::Link));
    let others = events(&mut meetings);
    assert!(
        matches!(
            others[..],
            [Event::PassOver { far: FAR, direct: Some(CALLER) }, Event::Deadline(None)]
        ),
        "{others:?}"
    );
    assert_eq!(meetings.answered(NEAR, FAR, Answer::Accept(None)), None);
}

#[test]
fn servers_without_room_for_a_relayed_channel_end_no_direct_route() {
    let mut meetings = invited(&[Route::Tcp, Route::Relay]);
    events(&mut meetings);
    meetings.add_candidate(NEAR, FAR, None);
    let full = || Answer::Refuse(Reason::server(Code::LimitReached, "no stream is left"));
    assert_eq!(meetings.answered(NEAR, FAR, full()), None);
    let happened = events(&mut meetings);
    let is_over =
        |event: &Event| matches!(event, Event::Refused(..) | Event::Do(Effect::DropDial(_)));
    assert!(!happened.iter().any(is_over), "the dial goes on: {happened:?}");
    meetings.add_candidate(NEAR, FAR, Some((CALLER, Route::Tcp)));
    assert_eq!(meetings.answered(NEAR, FAR, full()), None);
    let happened = events(&mut meetings);
    assert!(happened.iter().any(|event| matches!(event, Event::Refused(NEAR, _))), "{happened:?}");
}

#[test]
fn a_connection_that_is_dialled_too_late_presents_nothing() {
    let mut meetings = invited(&[Route::Tcp]);
    let [dial] = dialled(&events(&mut meetings))[..] else { panic!("TCP is tried") };
    meetings.give_up(NEAR);
    let given_up = events(&mut meetings);
    assert!(matches!(given_up[..], [Event::Do(Effect::DropDial(id)), _] if id == dial));
    assert_eq!(meetings.dial_up(dial), None);
}

#[test]
fn a_caller_that_is_faster_than_its_ticket_is_let_in_and_heard_when_that_comes() {
    let (mut meetings, ticket) = (meetings(), Ticket([8; 32]));
    meetings.asks(HOST, PROCESS);
    assert_eq!(meetings.presents(presenting(ticket)), Shown::Waits);
    meetings.expects(expect(ticket), SERVER).expect("there is room");
    let heard = events(&mut meetings);
    match &heard[..] {
        [Event::Deadline(Some(_)), Event::LetIn(HOST, PROCESS), Event::Present(shown)] => {
            assert_eq!(shown.conn, CALLER);
            assert_eq!(meetings.presents(shown.clone()), Shown::Known(Some(SERVER)));
        }
        other => panic!("both waited for the ticket, but {other:?}"),
    }
    assert!(meetings.redeem(ticket, Some(SERVER)).is_err(), "the ticket is another process's");
    assert!(meetings.redeem(ticket, Some(PROCESS)).is_err(), "it was used");
}

#[test]
fn a_host_is_told_what_to_expect_until_a_server_has_its_share() {
    let mut meetings = meetings();
    let caller = Caller { name: name("asker"), version: 1, server: SERVER };
    let introduce = || Introduction {
        caller: caller.clone(),
        caller_process: PROCESS,
        punch: None,
        purpose: Purpose::Channel,
        to: name("asked"),
        host: Some(HOST),
        process: Key([9; 32]),
        routes: [Route::Unix].to_vec(),
        socket: Some(SocketName::new([4; 16])),
        net: Vec::new(),
        seen: None,
        loopback: None,
    };
    let invitation = meetings.introduce(introduce()).expect("there is room");
    let told = events(&mut meetings).pop();
    let Some(Event::Send(HOST, message)) = told else { panic!("the host is told, not {told:?}") };
    let Message::Expect(expect) = *message else { panic!("{message:?} tells no ticket") };
    assert_eq!(expect.ticket, invitation.ticket);
    assert!(meetings.introduce(introduce()).is_err_and(|reason| reason.is(Code::LimitReached)));
    assert!(matches!(events(&mut meetings)[..], [Event::Reached(Limit::Tickets)]));
}
