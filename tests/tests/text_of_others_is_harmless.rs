//! What peers say of themselves and as reasons reaches people without characters that control a
//! terminal or begin another line.

use std::time::Instant;
use trunkline_core::bymux::MuxRole;
use trunkline_core::control::{Announced, Answer, Hello, Message};
use trunkline_core::key::Key;
use trunkline_core::reason::{By, Code, Reason};
use trunkline_tests::binaries::plugin;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Peer, PeerEvent, Server, Setup, Socket, hello};

/// An escape sequence, a line end, and the same as single characters beyond ASCII.
const HOSTILE: &str = "no\x1b]0;owned\x07\n  yes  relay  in use \u{9b}2J\u{202e}";
/// The same as it is shown.
const SHOWN: &str = r"no\u{1b}]0;owned\u{7}\n  yes  relay  in use \u{9b}2J\u{202e}";

fn is_harmless(text: &str) -> bool {
    let harmful = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    !text.contains(harmful)
}

#[test]
fn a_hostile_reason_is_escaped_in_the_log_in_status_and_in_explain() {
    let folder = Folder::new();
    let asks = "name = \"asker\"\n[plugin.config]\nto = \"target\"\nbulk-mib = 0";
    let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&plugin("ping"), asks));
    let target = "target".parse().unwrap();
    let hello = Hello { plugins: vec![Announced::new(target, 1)], ..hello(Key([7; 32])) };
    let mut peer = Peer::send_hello(Socket::unix(&alpha), MuxRole::Dialler, hello);
    let opened = peer.wait_for("a channel", |event| matches!(event, PeerEvent::Preface(..)));
    let PeerEvent::Preface(stream, _) = opened else { panic!("{opened:?}") };
    let reason = Reason { by: By::Plugin, code: "full".into(), text: HOSTILE.into() };
    peer.answer(stream, &Answer::Refuse(reason));

    let line = alpha.log().wait_for(0, "full: ");
    assert!(line.contains(SHOWN) && is_harmless(&line), "{line:?}");
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let told = alpha.command("explain", &["asker", "target"]).stdout;
        let told = String::from_utf8(told).unwrap();
        if told.contains("owned") {
            break told;
        }
        assert!(Instant::now() < deadline, "the refusal is not explained: {told}");
    };
    assert!(told.lines().any(|line| line.ends_with(SHOWN)), "in one line: {told:?}");
    for (command, more) in [
        ("explain", &["asker", "target"][..]),
        ("explain", &["asker", "target", "--json"]),
        ("status", &[]),
        ("status", &["--json"]),
    ] {
        let output = alpha.command(command, more);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(is_harmless(&text), "{command} {more:?}: {text:?}");
    }
    assert!(is_harmless(&alpha.log().text()));
}

#[test]
fn a_server_whose_name_controls_a_terminal_is_refused() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    for (at, name) in ["a\x1b[2J", "a\nb", "a\u{202e}b"].into_iter().enumerate() {
        let hello = Hello { name: name.into(), ..hello(Key([at as u8 + 1; 32])) };
        let mut peer = Peer::send_hello(Socket::unix(&alpha), MuxRole::Dialler, hello);
        let is_goodbye =
            |event: &PeerEvent| matches!(event, PeerEvent::Message(Message::Goodbye(_)));
        let said = peer.wait_for("goodbye", is_goodbye);
        let PeerEvent::Message(Message::Goodbye(goodbye)) = said else { panic!("{said:?}") };
        assert!(goodbye.reason.is(Code::ProtocolViolation), "{}", goodbye.reason);
        assert!(goodbye.reason.text.contains("control character"), "{}", goodbye.reason);
    }
    assert!(is_harmless(&alpha.log().text()));
}
