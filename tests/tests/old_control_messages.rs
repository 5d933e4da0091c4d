//! What the earliest release of protocol 1 has said, as `record_control` recorded it, still means
//! what it meant. What it means was written down by hand, from what the programs were told to do.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;

use serde::Deserialize;
use trunkline::key::SecretKey;
use trunkline_core::control::{
    Addresses, Announced, Answer, Hello, Message, Preface, Purpose, Registration, Request, Role,
    Server, Use,
};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::{Code, Reason};
use trunkline_core::route::Route;

/// A line of the record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    by: String,
    frame: String,
    hex: String,
}

const RECORD: &str = include_str!("../vectors/control-e9af1e1.jsonl");

fn lines(frame: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let lines = RECORD.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let frame = frame.to_owned();
    lines.filter(move |line: &Line| line.frame == frame).map(|line| (line.by, bytes(&line.hex)))
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The control messages of one kind of process, by what `pick` takes.
fn control<T>(by: &str, pick: impl Fn(Message) -> Option<T>) -> Vec<T> {
    let said = lines("control").filter(|(speaker, _)| speaker == by);
    said.filter_map(|(_, bytes)| pick(Message::decode(&bytes).expect("it is decoded"))).collect()
}

macro_rules! all {
    ($by:expr, $kind:ident) => {
        control($by, |message| match message {
            Message::$kind(inner) => Some(inner),
            _ => None,
        })
    };
}

/// The public key of alpha (1), beta (2), gamma (3), delta (4), a stranger (5), or no server (6).
fn key(seed: u8) -> Key {
    SecretKey::from_seed(&[seed; 32]).public()
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn hello(by: &str, called: &str) -> Hello {
    let mut found = all!(by, Hello).into_iter().filter(|hello| hello.name == called);
    found.next().unwrap_or_else(|| panic!("a {by} called {called} has said hello"))
}

/// What a golden plugin has compiled in.
fn golden(called: &str) -> Announced {
    Announced { invites: Some(vec![name("nobody")]), ..Announced::new(name(called), 12) }
}

#[test]
fn each_kind_of_message_is_recorded() {
    let kinds: BTreeSet<u8> = lines("control").map(|(_, bytes)| bytes[1]).collect();
    assert_eq!(kinds, (1..=15).collect(), "those of PROTOCOL.md, section 7");
}

#[test]
fn each_frame_is_one_that_is_known() {
    for (by, bytes) in lines("control") {
        let message = Message::decode(&bytes).expect("it is decoded");
        assert!(!matches!(message, Message::Other(_)), "{by} says {message:?}");
    }
    for (by, bytes) in lines("preface") {
        let preface = Preface::decode(&bytes).expect("it is decoded");
        assert!(!matches!(preface, Preface::Other(_)), "{by} says {preface:?}");
    }
    lines("answer").for_each(|(_, bytes)| drop(Answer::decode(&bytes).expect("it is decoded")));
}

/// Without the length.
fn body(frame: &[u8]) -> &[u8] {
    frame.get(4..).expect("a frame begins with its length")
}

#[test]
fn the_same_meaning_is_written_as_it_was_so_that_the_release_reads_it() {
    for (by, bytes) in lines("control") {
        let message = Message::decode(&bytes).expect("it is decoded");
        assert_eq!(body(&message.frame()), bytes, "{by}: {message:?}");
    }
    for (by, bytes) in lines("preface") {
        let preface = Preface::decode(&bytes).expect("it is decoded");
        assert_eq!(body(&preface.frame()), bytes, "{by}: {preface:?}");
    }
    for (by, bytes) in lines("answer") {
        let answer = Answer::decode(&bytes).expect("it is decoded");
        assert_eq!(body(&answer.frame()), bytes, "{by}: {answer:?}");
    }
}

#[test]
fn each_kind_of_process_says_hello() {
    let machine = hello("server", "alpha").machine;
    for (by, called, role, seed) in [
        ("server", "alpha", Role::Server, 1),
        ("server", "beta", Role::Server, 2),
        ("host", "gamma", Role::Host, 3),
        ("host", "delta", Role::Host, 4),
    ] {
        let hello = hello(by, called);
        assert_eq!((hello.protocol, hello.role, hello.key), (1, role, key(seed)), "{called}");
        assert_eq!(hello.machine, machine, "{called} is on the same machine");
        assert_eq!(hello.software.as_deref(), Some("trunkline 0.1.0"), "{called}");
        assert_eq!(hello.seen, None, "{called}");
    }
    let command = all!("command", Hello);
    assert!(!command.is_empty(), "the command line has said hello");
    for hello in command {
        assert_eq!((hello.protocol, hello.role), (1, Role::Command));
        assert_eq!(hello.plugins, []);
    }
}

#[test]
fn a_server_tells_another_of_its_plugins_and_offers() {
    let beta = hello("server", "beta");
    assert_eq!(beta.plugins, [golden("far")]);
    let later = all!("server", Plugins);
    let told = |wanted: &Announced| later.iter().any(|plugins| plugins.plugins.contains(wanted));
    assert!(told(&golden("direct")), "a plugin of a host is told as the server's own: {later:?}");
    // To its hosts, it tells whose a plugin is, and no offers.
    let far = Announced { server: Some(key(2)), ..Announced::new(name("far"), 12) };
    assert!(told(&far), "{later:?}");
    let left = all!("server", Withdrawn);
    let names: Vec<_> = left.iter().flat_map(|left| &left.names).collect();
    assert!(names.contains(&&name("direct")), "delta has ended: {left:?}");
    assert!(
        left.iter().any(|left| left.names == [name("far")] && left.server == Some(key(2))),
        "the link to beta has ended: {left:?}"
    );
    assert!(all!("server", Wanted).iter().any(|wanted| wanted.wanted), "beta keeps the link");
}

#[test]
fn a_host_registers_its_plugins() {
    let mut gamma = hello("host", "gamma").plugins;
    if gamma.is_empty() {
        gamma = all!("host", Plugins).into_iter().flat_map(|plugins| plugins.plugins).collect();
    }
    let hosted = gamma.iter().find(|plugin| {
        let registration = plugin.registration.as_ref();
        plugin.name == name("hosted") && registration.is_some_and(|it| it.socket.is_some())
    });
    let hosted = hosted.expect("gamma has said that it advertises a socket");
    assert_eq!(hosted.version, 12);
    let registration = hosted.registration.clone().expect("it is a host's");
    let expected = Registration {
        peers: true,
        keys: Vec::new(),
        uses: vec![Use { name: name("echo"), least: 1 }],
        invites: vec![name("nobody")],
        allow: vec!["links".to_owned()],
        socket: registration.socket.clone(),
        net: registration.net.clone(),
        loopback: None,
    };
    assert_eq!(registration, expected);
    assert!(names_none(&registration.net), "it takes no TCP: {registration:?}");
    let rejected = all!("server", Rejected);
    assert_eq!(rejected.len(), 1, "delta's second plugin: {rejected:?}");
    assert_eq!(rejected[0].name, name("hosted"));
    assert!(rejected[0].reason.is(Code::NameTaken), "{rejected:?}");
}

fn names_none(addresses: &Option<Addresses>) -> bool {
    addresses.as_ref().is_none_or(|addresses| addresses.0.is_empty())
}

#[test]
fn a_server_tells_its_hosts_of_links() {
    let beta = Server { key: key(2), name: "beta".to_owned() };
    let linked = all!("server", Linked);
    assert!(linked.iter().any(|linked| linked.servers.contains(&beta)), "{linked:?}");
    let opened = all!("host", OpenLink);
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0].plugin, name("hosted"));
    assert_eq!(opened[0].address, format!("net:127.0.0.1:9~shs:{}", key(6)));
    let closed = all!("host", CloseLink);
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!((&closed[0].plugin, closed[0].server), (&name("hosted"), key(2)));
    let unlinked = all!("server", Unlinked);
    let failed = unlinked.iter().find(|unlinked| unlinked.server.key == key(6));
    let failed = failed.expect("nobody listens there");
    assert_eq!(failed.plugin, Some(name("hosted")), "only who wanted it is told");
    assert!(failed.reason.is(Code::TransportLost), "{failed:?}");
    let ended = unlinked.iter().find(|unlinked| unlinked.server == beta);
    let ended = ended.expect("the link to beta was closed");
    assert_eq!(ended.plugin, None);
    assert!(ended.reason.is(Code::LinkClosed), "{ended:?}");
}

#[test]
fn servers_make_hosts_expect_each_other_and_get_the_outcome() {
    let expect = all!("server", Expect);
    let one = expect.iter().find(|expect| expect.from.name == name("direct"));
    let one = one.expect("gamma is to expect delta's plugin");
    assert_eq!(one.to, name("hosted"));
    assert_eq!((one.from.version, one.process, one.calls), (12, key(4), false));
    assert_eq!(one.punch, None);
    let direct = all!("host", DirectChannel);
    for ended in [false, true] {
        let told = direct.iter().find(|direct| direct.ended == ended);
        let told = told.unwrap_or_else(|| panic!("ended: {ended}: {direct:?}"));
        assert_eq!((&told.from, &told.to), (&name("direct"), &name("hosted")));
        assert_eq!((told.server, told.route), (key(1), Route::Unix));
    }
    let tried = all!("host", Tried);
    let refused = Reason::plugin("not-now", "as it was told");
    let one = tried.iter().find(|tried| tried.reason == refused);
    let one = one.unwrap_or_else(|| panic!("delta tells that it was refused: {tried:?}"));
    assert_eq!((&one.from, &one.to), (&name("direct"), &name("hosted")));
    // It was refused before it had a route of its own.
    assert_eq!((one.server, one.route), (key(1), Route::Link));
}

#[test]
fn ends_have_their_reasons() {
    let closing = all!("server", Closing);
    let enough = Reason::plugin("enough", "as it was told");
    assert!(closing.iter().any(|closing| closing.reason == enough), "{closing:?}");
    let ends = |by: &str| {
        let ends = control(by, |message| match message {
            Message::Goodbye(goodbye) => Some(goodbye.reason),
            _ => None,
        });
        move |code| ends.iter().any(|reason| reason.is(code))
    };
    assert!(ends("server")(Code::ServerStopping), "alpha has stopped");
    assert!(ends("server")(Code::LinkClosed), "a plugin of gamma's has closed the link to beta");
    assert!(ends("host")(Code::ServerStopping), "delta has stopped");
    let unknown = all!("server", Unknown);
    assert_eq!(unknown.iter().map(|unknown| unknown.kind).collect::<Vec<_>>(), [99]);
}

#[test]
fn streams_say_what_they_are_for() {
    let said: Vec<(String, Preface)> = lines("preface")
        .map(|(by, bytes)| (by, Preface::decode(&bytes).expect("it is decoded")))
        .collect();
    let requests = |by: &'static str, purpose| {
        said.iter().filter_map(move |(speaker, preface)| match preface {
            Preface::Channel(request) if speaker == by && request.purpose == purpose => {
                Some(&**request)
            }
            _ => None,
        })
    };
    let to = |to: &'static str| move |request: &&Request| request.to.as_str() == to;
    let channel = requests("server", Purpose::Channel).find(to("far")).expect("it was opened");
    assert_eq!((channel.least, channel.from.name.as_str()), (1, "golden"));
    assert_eq!((channel.from.version, channel.from.server), (12, None));
    let calls = requests("server", Purpose::Calls).find(to("far")).expect("it was called");
    assert_eq!((calls.least, calls.from.name.as_str()), (1, "golden"));
    let hosted = requests("host", Purpose::Channel).find(to("hosted")).expect("it was opened");
    assert_eq!((hosted.least, hosted.from.name.as_str()), (1, "direct"));
    let commands: BTreeSet<&str> = said
        .iter()
        .filter_map(|(by, preface)| match preface {
            Preface::Command { name } if by == "command" => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(commands, BTreeSet::from(["explain golden far", "status"]));
}

#[test]
fn streams_are_answered() {
    let answers = |by: &str| {
        let said = lines("answer").filter(|(speaker, _)| speaker == by);
        said.map(|(_, bytes)| Answer::decode(&bytes).expect("it is decoded")).collect::<Vec<_>>()
    };
    let refused = Answer::Refuse(Reason::plugin("not-now", "as it was told"));
    assert!(answers("server").contains(&refused));
    assert!(answers("server").contains(&Answer::Accept(None)));
    assert!(answers("host").iter().any(|answer| matches!(answer, Answer::Accept(_))));
    let invited = answers("server").into_iter().find_map(|answer| match answer {
        Answer::Direct(invitation) => Some(invitation),
        _ => None,
    });
    let invited = invited.expect("delta was invited to a direct connection");
    assert_eq!((&invited.routes[..], invited.process), (&[Route::Unix, Route::Relay][..], key(3)));
    assert!(invited.socket.is_some(), "{invited:?}");
    assert!(names_none(&invited.net) && invited.loopback.is_none(), "{invited:?}");
}
