//! Peers that break no rule of the protocol and flood a server, and a peer beside them that
//! measures the harm. It holds no test.

// A test whose peers do not work must not go on.
#![allow(clippy::expect_used)]

mod innocent;
mod scene;

pub use innocent::{Innocent, RoundTrips};
pub use scene::{ECHOES, Over, Scene};

use crate::harness::{Chan, Peer, PeerEvent, request};
use trunkline_core::control::{
    Announced, Answer, At, Invitation, Message, Plugins, Preface, Registration, Request, Ticket,
    Withdrawn,
};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::Reason;

/// Bytes of the plugins in one message, a little less than it may have.
const MESSAGE: usize = 60_000;

/// The names `PREFIX0`, `PREFIX1` and so on.
///
/// # Panics
///
/// When the prefix cannot begin a name.
#[must_use]
pub fn names(prefix: &str, count: usize) -> Vec<Name> {
    let name = |number| format!("{prefix}{number}").parse().expect("a name");
    (0..count).map(name).collect()
}

/// A message of some 63 KB with 9,000 changes of one plugin: its version is 1 and 2 in turn.
///
/// # Panics
///
/// If the name is not valid.
#[must_use]
pub fn versions_flip(name: &str) -> Message {
    let name: Name = name.parse().expect("a name");
    let flip = |number| Announced::new(name.clone(), 1 + number % 2);
    Message::Plugins(Plugins { plugins: (0..9000u64).map(flip).collect() })
}

/// Announces one plugin, which invites none.
///
/// # Panics
///
/// If the name is not valid.
#[must_use]
pub fn announcement(name: &str, version: u64) -> Message {
    let plugins = vec![Announced::new(name.parse().expect("a name"), version)];
    Message::Plugins(Plugins { plugins })
}

/// Announces plugins of a server, which invite none, in messages nearly as long as allowed.
#[must_use]
pub fn announcements(names: &[Name]) -> Vec<Message> {
    messages_of(names.iter().map(|name| Announced::new(name.clone(), 1)))
}

/// As [`announcements`], but each plugin invites as many others, which do not exist.
///
/// # Panics
///
/// Never, because it makes valid names only.
#[must_use]
pub fn invitations(plugins: &[Name], each: usize) -> Vec<Message> {
    let missing = |number| format!("n{number:x}").parse().expect("a name");
    messages_of(plugins.iter().enumerate().map(|(index, name)| {
        let invites = (0..each).map(|n| missing(0x0010_0000 + index * each + n)).collect();
        Announced { invites: Some(invites), ..Announced::new(name.clone(), 1) }
    }))
}

/// Registers plugins of a host that every linked server may see.
#[must_use]
pub fn registrations(names: &[Name]) -> Vec<Message> {
    messages_of(names.iter().map(|name| {
        let registration = Some(Registration { peers: true, ..Registration::default() });
        Announced { registration, ..Announced::new(name.clone(), 1) }
    }))
}

/// Withdraws plugins.
#[must_use]
pub fn withdrawals(names: &[Name]) -> Vec<Message> {
    let withdrawn = |names: &[Name]| Withdrawn { names: names.to_vec(), server: None };
    names.chunks(4096).map(|names| Message::Withdrawn(withdrawn(names))).collect()
}

/// Withdraws no plugin, in 9 bytes.
#[must_use]
pub fn nothing_withdrawn() -> Message {
    Message::Withdrawn(Withdrawn { names: Vec::new(), server: None })
}

fn messages_of(plugins: impl Iterator<Item = Announced>) -> Vec<Message> {
    let mut messages = vec![Vec::new()];
    let mut bytes = 0;
    for announced in plugins {
        let invites = announced.invites.iter().flatten().map(|name| name.as_str().len() + 2);
        let registration = if announced.registration.is_some() { 24 } else { 0 };
        bytes += announced.name.as_str().len() + 16 + registration + invites.sum::<usize>();
        if bytes > MESSAGE {
            bytes = 0;
            messages.push(Vec::new());
        }
        if let Some(last) = messages.last_mut() {
            last.push(announced);
        }
    }
    messages.into_iter().map(|plugins| Message::Plugins(Plugins { plugins })).collect()
}

/// A request for a channel with a made-up ticket, as if an invitation had come before.
#[must_use]
pub fn with_made_up_ticket(to: &str, key: u8, number: u64) -> Request {
    let mut ticket = [key; 32];
    ticket[..8].copy_from_slice(&number.to_be_bytes());
    Request { ticket: Some(Ticket(ticket)), ..request(to) }
}

/// A request for a channel by a plugin of a host, which can connect directly.
#[must_use]
pub fn from_host(to: &str, process: Key, machine: Key) -> Request {
    Request { at: Some(At { process, machine, seen: None }), ..request(to) }
}

/// Opens a channel and returns the server's answer.
///
/// # Panics
///
/// When the server does not answer.
pub fn ask(peer: &mut Peer, request: Request) -> Answer {
    ask_all(peer, std::iter::once(request)).remove(0)
}

/// Opens channels, 256 at a time, and closes each when it is answered. Returns the answers in any
/// order.
///
/// # Panics
///
/// When the server does not answer.
pub fn ask_all(peer: &mut Peer, requests: impl Iterator<Item = Request>) -> Vec<Answer> {
    const AT_ONCE: usize = 256;
    let (mut requests, mut answers) = (requests.peekable(), Vec::new());
    while requests.peek().is_some() {
        let open = |request| peer.open_for_answer(request);
        let mut open: Vec<Chan> = requests.by_ref().take(AT_ONCE).map(open).collect();
        while !open.is_empty() {
            if let PeerEvent::Answer(tag, answer) = peer.wait_for("an answer", is_answer)
                && let Some(at) = open.iter().position(|chan| chan.tag == tag)
            {
                let chan = open.swap_remove(at);
                peer.close(chan);
                peer.stop_read(chan);
                answers.push(answer);
            }
        }
    }
    answers
}

fn is_answer(event: &PeerEvent) -> bool {
    matches!(event, PeerEvent::Answer(..))
}

/// Waits until the server opens a channel to a plugin of this peer.
///
/// # Panics
///
/// When it does not come.
pub fn wait_for_caller(peer: &mut Peer, to: &str) {
    let wanted = |preface: &Preface| match preface {
        Preface::Channel(request) => request.to.as_str() == to,
        _ => false,
    };
    let is_caller = |event: &PeerEvent| matches!(event, PeerEvent::Preface(_, p) if wanted(p));
    peer.wait_for("a channel to its plugin", is_caller);
}

/// Announces plugins that invite another one, and answers each offer by an invitation. Returns how
/// many it answered, and the reason of the server's goodbye, if the link ended.
///
/// # Panics
///
/// When the server says nothing.
pub fn invite_back(peer: &mut Peer, wanted: &str, offers: usize) -> (usize, Option<Reason>) {
    let invites: Vec<Name> = wanted.parse().into_iter().collect();
    let announced = |name| Announced { invites: Some(invites.clone()), ..Announced::new(name, 1) };
    let plugins = names("t", offers).into_iter().map(announced).collect();
    peer.send_all(&[Message::Plugins(Plugins { plugins })]);
    let (mut answered, mut reason) = (0, None);
    loop {
        match peer.next_event() {
            PeerEvent::Preface(stream, _) => {
                let chan = peer.answer(stream, &invitation());
                peer.close(chan);
                answered += 1;
                if answered == offers {
                    // A server that goes on answers this.
                    peer.send_message(&Message::Other(99));
                }
            }
            PeerEvent::Message(Message::Unknown(_)) => return (answered, None),
            PeerEvent::Message(Message::Goodbye(goodbye)) => reason = Some(goodbye.reason),
            PeerEvent::End => return (answered, reason),
            _ => {}
        }
    }
}

/// An invitation to nowhere.
fn invitation() -> Answer {
    let (ticket, process) = (Ticket([1; 32]), Key([2; 32]));
    let (routes, socket, net, seen, loopback) = Default::default();
    Answer::Direct(Box::new(Invitation { ticket, routes, process, socket, net, seen, loopback }))
}
