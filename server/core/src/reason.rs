//! Why something was refused, closed or ended: one table of the server's codes, with their meaning.

use crate::printable::received;
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// Longest text of a reason in bytes. A longer one is cut between characters.
pub const TEXT_MAX: usize = 1024;

/// Longest code of a reason in bytes.
pub const CODE_MAX: usize = 64;

/// The giver of a reason. A plugin cannot give a server's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A server decided it; the code is one of [`Code`].
    Server,
    /// A plugin decided it; the code is the plugin's own.
    Plugin,
}

/// Why something was refused, closed or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The giver.
    pub by: By,
    /// A kebab-case code, at most [`CODE_MAX`] bytes.
    pub code: String,
    /// A sentence for people, at most [`TEXT_MAX`] bytes, without control characters.
    pub text: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The codes that servers give. PROTOCOL.md lists the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// All codes, in the order of PROTOCOL.md.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The code as it is written in messages and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// No plugin of that name exists here, or the asker may not see it.
    UnknownPlugin = "unknown-plugin",
    /// The plugin exists here, but its version is lower than the asker needs.
    VersionTooLow = "version-too-low",
    /// No linked server has the key or name that was asked for.
    UnknownServer = "unknown-server",
    /// The channel ended without an answer, or what it was joined to is over.
    Refused = "refused",
    /// The plugin panicked, misused its host or does not run.
    PluginFailed = "plugin-failed",
    /// The plugin stopped, because it or its server was told to.
    PluginStopped = "plugin-stopped",
    /// The link under the channel ended.
    LinkLost = "link-lost",
    /// The link to the plugin's host ended.
    HostLost = "host-lost",
    /// A direct connection presented a ticket that was used, has expired or was never issued.
    BadTicket = "bad-ticket",
    /// A name is taken by another plugin.
    NameTaken = "name-taken",
    /// The server is stopping.
    ServerStopping = "server-stopping",
    /// The peer broke the protocol; the text names the rule.
    ProtocolViolation = "protocol-violation",
    /// The peer speaks another version of the protocol.
    ProtocolVersion = "protocol-version",
    /// Nothing arrived from the peer for too long.
    Silent = "silent",
    /// The handshake did not end in time.
    HandshakeTimeout = "handshake-timeout",
    /// The peer did not prove its key, belongs to another network, or may not link.
    HandshakeFailed = "handshake-failed",
    /// The transport ended: closed by the peer, reset, or unreachable.
    TransportLost = "transport-lost",
    /// Two servers dialled each other; the other connection is kept.
    DuplicateLink = "duplicate-link",
    /// No plugin of either server uses or invites one of the other.
    NothingInCommon = "nothing-in-common",
    /// A plugin that may do so closed the link.
    LinkClosed = "link-closed",
    /// A server reached itself.
    SelfLink = "self-link",
    /// The one channel of a direct connection is over, or got another route.
    ChannelOver = "channel-over",
    /// A configured limit is reached; the text names it.
    LimitReached = "limit-reached",
    /// A plugin waits for too many calls, or has too many to answer; the text says which.
    TooManyCalls = "too-many-calls",
    /// An address cannot be dialled; the text says why.
    BadAddress = "bad-address",
    /// A plugin or a peer asked for something that it has no right to.
    NotAllowed = "not-allowed",
    /// This server does not know a control message of that kind.
    UnknownMessage = "unknown-message",
    /// This server does not know that command of the command line.
    UnknownCommand = "unknown-command",
}

impl Reason {
    /// A reason given by the server itself.
    pub fn server(code: Code, text: impl AsRef<str>) -> Reason {
        Reason {
            by: By::Server,
            code: code.as_str().to_owned(),
            text: received(text.as_ref(), TEXT_MAX),
        }
    }

    /// A reason given by a plugin, cut to the limits, with control characters escaped.
    pub fn plugin(code: &str, text: &str) -> Reason {
        Reason { by: By::Plugin, code: received(code, CODE_MAX), text: received(text, TEXT_MAX) }
    }

    /// The reason as other servers may know it: what a plugin says when it fails, with the place in
    /// its source, is not for them.
    pub(crate) fn for_other_servers(self) -> Reason {
        match self.is(Code::PluginFailed) {
            true => Reason::server(Code::PluginFailed, "the log of its server says why"),
            false => self,
        }
    }

    /// Whether a server gave this reason with this code.
    pub fn is(&self, code: Code) -> bool {
        self.by == By::Server && self.code == code.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.by, self.text.is_empty()) {
            (By::Server, false) => write!(f, "{}: {}", self.code, self.text),
            (By::Server, true) => f.write_str(&self.code),
            (By::Plugin, false) => write!(f, "plugin says {}: {}", self.code, self.text),
            (By::Plugin, true) => write!(f, "plugin says {}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "é".repeat(TEXT_MAX);
        assert_eq!(Reason::plugin("x", &long).text.len(), TEXT_MAX);
        assert_eq!(Reason::plugin("x", &long[..2046]).text.chars().last(), Some('é'));
    }

    #[test]
    fn a_plugin_cannot_speak_as_the_server() {
        let reason = Reason::plugin("plugin-failed", "");
        assert!(!reason.is(Code::PluginFailed));
    }
}
