//! Direct connections with a used, wrong, expired or missing ticket, or with another's: each is
//! refused with a reason, and no plugin is asked.

#![allow(clippy::expect_used)] // Helpers of tests may panic as well.

use std::time::Duration;
use trunkline_core::address::{Address, Scope};
use trunkline_core::broker::{
    ConnId, Direct, DirectDial, DirectPlace, Grants, Keep, Opened, Opening, PeerConfig,
    PeerProcess, Rights, Security,
};
use trunkline_core::bymux::{MuxRole, StreamId};
use trunkline_core::control::{
    Addresses, Announced, Answer, Hello, Invitation, Message, Origin, PROTOCOL, Preface, Presented,
    Registration, Request, Role, SocketName, Ticket,
};
use trunkline_core::key::Key;
use trunkline_core::limits::{Limits, WINDOW};
use trunkline_core::link::{Event, Link};
use trunkline_core::reason::{Code, Reason};
use trunkline_core::route::Route;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{HostSetup, Secured, Server, Setup, hello};
use trunkline_tests::processes::Processes;

const SERVER: usize = 0;
const ANSWERS: usize = 1;

/// How long a ticket is valid.
const TICKET_TIME: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(1);

/// A connection whose dialler sends what a test wants.
struct Raw {
    process: usize,
    conn: ConnId,
    link: Link,
    answers: Vec<Answer>,
    goodbye: Option<Reason>,
    /// The streams on which channels are opened.
    asked: Vec<StreamId>,
}

impl Raw {
    fn connect(all: &mut Processes, process: usize, how: Opened) -> Raw {
        let (grants, address, security) = (Grants::Everything, "raw".into(), Security::NoAuth);
        let opening =
            Opening { how, grants, address, security, from: None, process: PeerProcess::Foreign };
        let conn = all.all[process].broker.connected(opening);
        let role = match how {
            Opened::Dialled(_) => MuxRole::Acceptor,
            _ => MuxRole::Dialler,
        };
        let link = Link::new(role, Duration::ZERO, &Limits::default(), 0);
        Raw { process, conn, link, answers: Vec::new(), goodbye: None, asked: Vec::new() }
    }

    fn open(&mut self, all: &mut Processes, preface: &Preface) -> &mut Raw {
        let tag = self.answers.len() as u32;
        let stream = self.link.open(tag).expect("one more stream");
        let mux = self.link.mux();
        mux.credit(stream, WINDOW.try_into().expect("not zero"));
        let frame = preface.frame();
        assert_eq!(mux.write(stream, &frame), frame.len());
        self.exchange(all)
    }

    /// Delivers bytes until both sides are silent.
    fn exchange(&mut self, all: &mut Processes) -> &mut Raw {
        loop {
            let ours = self.link.outbox().slices().concat();
            self.link.mux().outbox_mut().advance(ours.len());
            all.all[self.process].receive(self.conn, ours.clone());
            all.run();
            let theirs = all.all[self.process].send(self.conn);
            let mut input = &theirs[..];
            while let Some(event) = self.link.receive(Duration::ZERO, &mut input).expect("no fault")
            {
                match event {
                    Event::Answer { answer, .. } => self.answers.push(answer),
                    Event::Preface { stream, .. } => self.asked.push(stream),
                    Event::Message(message) => {
                        if let Message::Goodbye(goodbye) = *message {
                            self.goodbye = Some(goodbye.reason);
                        }
                    }
                    _ => {}
                }
            }
            if ours.is_empty() && theirs.is_empty() {
                return self;
            }
        }
    }
}

/// A server, its host, and one more host that the test simulates.
fn scene() -> (Processes, Raw) {
    let mut all = Processes::default();
    all.add(Role::Server, 0, "server");
    all.add(Role::Host, 9, "answers");
    all.link(ANSWERS, SERVER, None);
    let socket = Some(SocketName::new([1; 16]));
    all.advertise(ANSWERS, Direct { socket, ..Direct::default() });
    let mut raw = Raw::connect(&mut all, SERVER, Opened::Accepted);
    let asks = Announced::new("asks".parse().expect("a name"), 1);
    let asks = Announced { registration: Some(Registration::default()), ..asks };
    let hello = Hello {
        protocol: PROTOCOL,
        role: Role::Host,
        key: Key([77; 32]),
        name: "raw".into(),
        machine: Key([9; 32]),
        plugins: vec![asks],
        software: None,
        seen: None,
    };
    raw.link.send(&Message::Hello(hello)).expect("it fits");
    raw.exchange(&mut all);
    (all, raw)
}

fn invite(all: &mut Processes, raw: &mut Raw) -> Invitation {
    let from = Origin::new("asks".parse().expect("a name"), 1);
    let request = Request::new("answers".parse().expect("a name"), 1, from);
    raw.open(all, &Preface::channel(request));
    match raw.answers.last() {
        Some(Answer::Direct(invitation)) => (**invitation).clone(),
        other => panic!("an invitation, and not {other:?}"),
    }
}

fn present(all: &mut Processes, ticket: Ticket) -> Raw {
    let mut direct = Raw::connect(all, ANSWERS, Opened::Direct);
    direct.open(all, &Preface::Direct(Presented { ticket, route: Route::Unix }));
    direct
}

/// The reason of a connection's refusal, from its answer.
fn refusal(direct: &Raw) -> String {
    match &direct.answers[..] {
        [Answer::Refuse(why)] if why.is(Code::BadTicket) => why.to_string(),
        other => panic!("a refusal for its ticket, and not {other:?}, {:?}", direct.goodbye),
    }
}

#[test]
fn a_ticket_works_once() {
    let (mut all, mut raw) = scene();
    let invitation = invite(&mut all, &mut raw);
    assert_eq!(invitation.routes, [Route::Unix, Route::Relay]);
    let first = present(&mut all, invitation.ticket);
    assert_eq!(first.answers, [Answer::Accept(Some(Route::Unix))]);
    assert_eq!(all.all[ANSWERS].asked.len(), 1);
    let second = present(&mut all, invitation.ticket);
    assert!(refusal(&second).ends_with("this ticket was used"), "{}", refusal(&second));
    assert_eq!(all.all[ANSWERS].asked.len(), 1, "the plugin was asked again");
    // By then it does not work through the servers either.
    let from = Origin::new("asks".parse().expect("a name"), 1);
    let request = Request::new("answers".parse().expect("a name"), 1, from);
    let ticket = Some(invitation.ticket);
    raw.open(&mut all, &Preface::channel(Request { ticket, ..request }));
    let Some(Answer::Refuse(why)) = raw.answers.last() else { panic!("{:?}", raw.answers) };
    assert!(why.is(Code::BadTicket), "{why}");
    all.audit();
}

#[test]
fn a_ticket_expires_after_30_s() {
    let (mut all, mut raw) = scene();
    let [early, late] = [0, 1].map(|_| invite(&mut all, &mut raw).ticket);
    all.wait(TICKET_TIME - MOMENT);
    assert_eq!(present(&mut all, early).answers, [Answer::Accept(Some(Route::Unix))]);
    all.wait(MOMENT);
    assert_wrong(&mut all, late);
    assert_eq!(all.all[ANSWERS].asked.len(), 1);
}

/// An unknown ticket may become known; it is refused when its time is over.
fn assert_wrong(all: &mut Processes, ticket: Ticket) {
    let mut direct = present(all, ticket);
    assert!(direct.answers.is_empty() && direct.goodbye.is_none(), "it waits");
    all.wait(Limits::default().handshake);
    direct.exchange(all);
    let why = direct.goodbye.expect("it is hung up on");
    assert!(why.is(Code::BadTicket), "{why}");
    assert!(all.all[ANSWERS].has_hung_up(direct.conn));
}

#[test]
fn an_unissued_ticket_is_refused() {
    let (mut all, mut raw) = scene();
    let Ticket(mut bytes) = invite(&mut all, &mut raw).ticket;
    bytes[31] ^= 1;
    assert_wrong(&mut all, Ticket(bytes));
    assert!(all.all[ANSWERS].asked.is_empty());
}

/// `expect` may be lost with a link; the servers vouch for what they pass on.
#[test]
fn an_unexpected_ticket_works_once_through_the_servers() {
    let (mut all, mut raw) = scene();
    let ticket = Ticket([5; 32]);
    let mut early = present(&mut all, ticket);
    for _ in 0..2 {
        let from = Origin::new("asks".parse().expect("a name"), 1);
        let request = Request::new("answers".parse().expect("a name"), 1, from);
        let request = Request { ticket: Some(ticket), ..request };
        raw.open(&mut all, &Preface::channel(request));
    }
    let [Answer::Accept(_), Answer::Refuse(why)] = &raw.answers[..] else {
        panic!("one is accepted: {:?}", raw.answers)
    };
    assert!(why.is(Code::BadTicket), "{why}");
    assert!(refusal(early.exchange(&mut all)).ends_with("this ticket was used"));
    assert_eq!(all.all[ANSWERS].asked.len(), 1);
    all.audit();
}

#[test]
fn a_connection_without_a_ticket_is_closed() {
    let (mut all, _raw) = scene();
    let silent = Raw::connect(&mut all, ANSWERS, Opened::Direct);
    let mut direct = Raw::connect(&mut all, ANSWERS, Opened::Direct);
    let from = Origin::new("asks".parse().expect("a name"), 1);
    let request = Request::new("answers".parse().expect("a name"), 1, from);
    direct.open(&mut all, &Preface::channel(request));
    let why = direct.goodbye.as_ref().expect("it is hung up on");
    assert!(why.is(Code::ProtocolViolation), "{why}");
    all.wait(Limits::default().handshake);
    let mut silent = silent;
    let why = silent.exchange(&mut all).goodbye.as_ref().expect("it is hung up on");
    assert!(why.is(Code::HandshakeTimeout), "{why}");
    assert!(all.all[ANSWERS].asked.is_empty());
}

#[test]
fn a_ticket_that_arrives_before_expect_waits() {
    let (mut all, mut raw) = scene();
    let ticket = invite(&mut all, &mut raw).ticket;
    // Tickets are derived from a secret of their server and a number. A server with the same secret
    // issues the same ones, so the first ticket of another one is known in advance.
    let (mut others, mut other) = scene();
    let mut direct = present(&mut others, ticket);
    assert!(direct.answers.is_empty(), "nobody has told of it");
    assert_eq!(invite(&mut others, &mut other).ticket, ticket);
    direct.exchange(&mut others);
    assert_eq!(direct.answers, [Answer::Accept(Some(Route::Unix))]);
    assert_eq!(others.all[ANSWERS].asked.len(), 1);
}

#[test]
fn a_ticket_is_for_a_connection_of_its_own_and_for_one_channel() {
    let (mut all, mut raw) = scene();
    let [first, second] = [0, 1].map(|_| invite(&mut all, &mut raw).ticket);
    // On a link, not on a direct connection.
    raw.open(&mut all, &Preface::Direct(Presented { ticket: first, route: Route::Unix }));
    let mut direct = present(&mut all, first);
    assert_eq!(direct.answers.len(), 1);
    // A second channel, even with a good ticket.
    direct.open(&mut all, &Preface::Direct(Presented { ticket: second, route: Route::Unix }));
    let why = direct.goodbye.as_ref().expect("it is hung up on");
    assert!(why.is(Code::ProtocolViolation), "{why}");
    assert_eq!(all.all[ANSWERS].asked.len(), 1);
    all.audit();
}

const NET: &str = "net:10.10.10.1:808~shs";

/// A process whose server is simulated by the test: it invites the process's plugin with an answer
/// of which some bytes were replaced. Returns what the process does.
fn invited_by(
    role: Role,
    loopback: Option<u16>,
    (from, to): (&str, &str),
) -> (Vec<DirectDial>, Option<Reason>) {
    assert_eq!(from.len(), to.len(), "the lengths in the message stay");
    let mut all = Processes::default();
    all.add(role, 9, "asks");
    let (key, endpoints, role) = (None, Vec::new(), Role::Server);
    let peer =
        PeerConfig { key, name: None, endpoints, role, keep: Keep::Always, rights: Rights::all() };
    let peer = all.all[0].broker.add_peer(peer);
    let mut raw = Raw::connect(&mut all, 0, Opened::Dialled(peer));
    let answers = Announced::new("answers".parse().expect("a name"), 1);
    let hello = hello(Key([77; 32]));
    let hello = Hello { plugins: vec![answers], ..hello };
    raw.link.send(&Message::Hello(hello)).expect("it fits");
    raw.exchange(&mut all);
    all.all[0].open("answers");
    raw.exchange(&mut all);
    let [stream] = raw.asked[..] else { panic!("one channel is asked for: {:?}", raw.asked) };
    let net: Address = NET.parse().expect("an address");
    let invitation = Invitation {
        ticket: Ticket([1; 32]),
        routes: vec![Route::Unix, Route::Tcp, Route::Punched],
        process: Key([78; 32]),
        socket: Some(SocketName::new([0xab; 16])),
        net: net.shareable(Scope::Local).map(|net| Addresses(vec![net])),
        seen: None,
        loopback,
    };
    let mut frame = Answer::Direct(Box::new(invitation)).frame();
    let at = frame.windows(from.len()).position(|bytes| bytes == from.as_bytes());
    let at = at.expect("the text is in the message");
    frame[at..at + to.len()].copy_from_slice(to.as_bytes());
    assert_eq!(raw.link.mux().write(stream, &frame), frame.len());
    raw.exchange(&mut all);
    all.wait(Duration::from_secs(2));
    (std::mem::take(&mut all.all[0].dials), raw.goodbye)
}

#[test]
fn an_invitation_cannot_name_a_path_or_this_machine() {
    let honest = (NET, NET);
    let (dials, _) = invited_by(Role::Host, None, honest);
    let [unix, tcp] = &dials[..] else { panic!("both are dialled: {dials:?}") };
    assert!(matches!(&unix.place, DirectPlace::Socket(_)), "{unix:?}");
    let DirectPlace::Net(to) = &tcp.place else { panic!("{tcp:?}") };
    assert_eq!(to[0].to_string(), format!("{NET}:{}", Key([78; 32])));

    for bad in ["net:127.0.0.1:8008~shs", "net:localhost:8008~shs", "unix:/run/user/x.sock0"] {
        let (dials, _) = invited_by(Role::Host, None, (NET, bad));
        assert!(dials.iter().all(|dial| matches!(dial.place, DirectPlace::Socket(_))), "{dials:?}");
    }
    // A path in place of a socket's name makes the message invalid.
    let path = "/run/user/1000/somebody-else.sck";
    let (dials, goodbye) = invited_by(Role::Host, None, (&"ab".repeat(16), path));
    assert!(dials.is_empty(), "{dials:?}");
    assert!(goodbye.expect("the link ends").is(Code::ProtocolViolation));
}

#[test]
fn only_a_hosts_own_server_may_send_a_loopback_port() {
    let dialled = |role| {
        let (dials, _) = invited_by(role, Some(808), (NET, NET));
        let tcp = dials.iter().find_map(|dial| match &dial.place {
            DirectPlace::Net(to) => Some(to.iter().map(ToString::to_string).collect::<Vec<_>>()),
            _ => None,
        });
        tcp.expect("the advertised address is dialled")
    };
    let key = Key([78; 32]);
    let (near, net) = (format!("net:127.0.0.1:808~shs:{key}"), format!("{NET}:{key}"));
    assert_eq!(dialled(Role::Host), [near, net.clone()]);
    assert_eq!(dialled(Role::Server), [net]);
}

#[test]
fn an_unexpected_key_is_not_admitted() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let setup = HostSetup::beside("host", &alpha).limit("handshake-ms = 300");
    let table = "advertise = [\"net:127.0.0.1:0\"]";
    let setup = setup.plugin(&fixtures::plugin(Api::Ours, "meets"), table);
    let host = Server::start_host(None, &folder, &setup);
    host.log().wait_for(0, "listening on net:");
    let Err(error) = Secured::connect_at(host.tcp_address(), host.key(), 9) else {
        panic!("a stranger was let in")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    assert!(!host.log().text().contains("asked by"), "{}", host.log().text());
}
