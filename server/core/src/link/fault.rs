//! Why a link ends because of its peer: each fault names the rule that the peer broke.

use crate::bymux::Violation;
use crate::control::{DecodeError, FrameTooLong};
use crate::reason::{Code, Reason};
use alloc::string::ToString;
use core::fmt;

/// Why a link has to end at once.
#[derive(Debug)]
pub enum Fault {
    /// The peer broke a rule of bymux.
    Mux(Violation),
    /// A control message, preface or answer was over its limit.
    TooLong(FrameTooLong),
    /// A control message, preface or answer could not be read.
    Unreadable(DecodeError),
    /// The peer closed the control stream.
    ControlClosed,
    /// The peer does not read its control messages.
    ControlNotRead,
    /// The peer did not answer a ping in time.
    Silent,
}

impl Fault {
    /// The reason for the peer and the log.
    pub fn reason(&self) -> Reason {
        let code = match self {
            Fault::Silent => Code::Silent,
            _ => Code::ProtocolViolation,
        };
        Reason::server(code, self.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Mux(violation) => violation.fmt(f),
            Fault::TooLong(FrameTooLong { announced, limit }) => {
                write!(f, "a message of {announced} bytes is over the limit of {limit}")
            }
            Fault::Unreadable(error) => write!(f, "a message cannot be read: {error}"),
            Fault::ControlClosed => f.write_str("the control stream was closed"),
            Fault::ControlNotRead => f.write_str("control messages are not read"),
            Fault::Silent => f.write_str("a ping was not answered in time"),
        }
    }
}

impl core::error::Error for Fault {}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Fault {
        Fault::Mux(violation)
    }
}

impl From<FrameTooLong> for Fault {
    fn from(error: FrameTooLong) -> Fault {
        Fault::TooLong(error)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Fault {
        Fault::Unreadable(error)
    }
}
