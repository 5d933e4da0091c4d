//! The audit: links, refused keys and commands. Each event is a record of the log with a target of
//! its own, which no limit suppresses.
//!
//! A record is the event, and then pairs `name=value`. Values of others are in quotation marks.

use crate::control::Role;
use crate::key::Key;
use crate::printable::is_unsafe;
use crate::reason::Reason;
use core::fmt::{self, Write};

/// The target of the records.
pub const TARGET: &str = "audit";

/// Characters of a text that others chose. What is longer is cut.
const TEXT_MAX: usize = 256;

/// The process that made a connection over a unix socket, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialler {
    /// The number of the user.
    pub user: u32,
    /// The process. It may have ended since.
    pub process: u32,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A server or a host is linked.
    LinkUp(Linked<'a>),
    /// Its link is over.
    LinkDown(Linked<'a>, &'a Reason),
    /// The owner of a key may not link, or a peer that claims it.
    Refused { key: Key, address: &'a str, by: Option<Dialler>, reason: &'a Reason },
    /// The command line asks for something.
    Command { name: &'a str, by: Option<Dialler> },
}

/// The other side of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linked<'a> {
    pub(crate) key: Key,
    pub(crate) role: Role,
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) by: Option<Dialler>,
}

/// Writes an event to the log.
pub(crate) fn record(event: Event<'_>) {
    log::info!(target: TARGET, "{event}");
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::LinkUp(linked) => write!(f, "link-up {linked}"),
            Event::LinkDown(linked, reason) => write!(f, "link-down {linked} {}", Why(reason)),
            Event::Refused { key, address, by, reason } => {
                write!(
                    f,
                    "refused key={key} address={}{} {}",
                    Quoted(address),
                    By(*by),
                    Why(reason)
                )
            }
            Event::Command { name, by } => write!(f, "command name={}{}", Quoted(name), By(*by)),
        }
    }
}

impl fmt::Display for Linked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Server => "server",
            Role::Host => "host",
            Role::Command => "command",
        };
        let (name, address) = (Quoted(self.name), Quoted(self.address));
        write!(f, "key={} role={role} name={name} address={address}{}", self.key, By(self.by))
    }
}

struct By(Option<Dialler>);

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Dialler { user, process }) => write!(f, " user={user} pid={process}"),
            None => Ok(()),
        }
    }
}

struct Why<'a>(&'a Reason);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code={} reason={}", Quoted(&self.0.code), Quoted(&self.0.text))
    }
}

/// A text in quotation marks, from which nothing leads out.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars().take(TEXT_MAX) {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if is_unsafe(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        if self.0.chars().nth(TEXT_MAX).is_some() {
            f.write_str("...")?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Code;
    use alloc::string::ToString;

    const KEY: Key = Key([1; 32]);
    const BY: Option<Dialler> = Some(Dialler { user: 1000, process: 42 });

    #[test]
    fn an_event_has_a_word_and_pairs() {
        let (role, name, address) = (Role::Host, "beta", "unix");
        let linked = Linked { key: KEY, role, name, address, by: BY };
        let up = "key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= role=host name=\"beta\" \
                  address=\"unix\" user=1000 pid=42";
        assert_eq!(Event::LinkUp(linked).to_string(), ["link-up ", up].concat());
        let reason = Reason::server(Code::NotAllowed, "no");
        let why = " code=\"not-allowed\" reason=\"no\"";
        let down = Event::LinkDown(linked, &reason).to_string();
        assert_eq!(down, ["link-down ", up, why].concat());
        let refused = Event::Refused { key: KEY, address, by: None, reason: &reason };
        let head = "refused key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= address=\"unix\"";
        assert_eq!(refused.to_string(), [head, why].concat());
        let command = Event::Command { name: "stop", by: BY }.to_string();
        assert_eq!(command, "command name=\"stop\" user=1000 pid=42");
    }

    #[test]
    fn texts_of_others_stay_in_their_quotation_marks() {
        let reason = Reason::plugin("x\" key=\"", "a\\\" user=0\nlink-up\u{202e}");
        let text = Why(&reason).to_string();
        // The reason was escaped when it was received.
        let expected = r#"code="x\" key=\"" reason="a\\\" user=0\\nlink-up\\u{202e}""#;
        assert_eq!(text, expected);
        let name = "\n\u{1b}\u{2028}";
        let command = Event::Command { name, by: None }.to_string();
        assert_eq!(command, r#"command name="\n\u{1b}\u{2028}""#);
    }

    #[test]
    fn a_long_text_is_cut() {
        let name = "é".repeat(TEXT_MAX + 1);
        let command = Event::Command { name: &name, by: None }.to_string();
        assert_eq!(command, ["command name=\"", &"é".repeat(TEXT_MAX), "...\""].concat());
        let name = &name[..2 * TEXT_MAX];
        let command = Event::Command { name, by: None }.to_string();
        assert!(command.ends_with("é\""), "{command}");
    }
}
