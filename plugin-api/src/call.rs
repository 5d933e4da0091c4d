//! The outcome of a call, as the caller receives it.

use core::fmt;

use crate::{Call, Reason};

/// The state of a call when [`Host::call`](crate::Host::call) returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the outcome of a finished call is not passed to `reply`"]
pub enum Called {
    /// It is over: the answer, or why there is none. [`reply`](crate::Plugin::reply) is not called.
    Over(Result<Vec<u8>, Unanswered>),
    /// [`reply`](crate::Plugin::reply) is called for this call, once.
    Pending(Call),
}

impl Called {
    /// The outcome as [`reply`](crate::Plugin::reply) would receive it, if the call is over, so
    /// that the same lines handle both.
    #[must_use]
    pub fn over(&self) -> Option<Result<&[u8], Unanswered>> {
        match self {
            Self::Over(outcome) => Some(outcome.as_deref().map_err(Clone::clone)),
            Self::Pending(_) => None,
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It was not done, because the callee or a server refused it (`unknown-plugin`,
    /// `too-many-calls`, `limit-reached` and so on).
    Refused(Reason),
    /// The caller cancelled it. It may have been done.
    Cancelled,
    /// The answer did not come in time. It may have been done.
    Deadline,
    /// The callee failed or stopped (`plugin-failed`, `plugin-stopped`), the path to it is lost
    /// (`link-lost`, `host-lost`), or its answer found no room (`limit-reached`, `too-many-calls`).
    /// It may have been done.
    Lost(Reason),
}

impl Unanswered {
    /// The reason's code, or `cancelled` or `deadline`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(why) | Self::Lost(why) => why.code(),
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the call was refused: {why}"),
            Self::Cancelled => f.write_str("the call was cancelled"),
            Self::Deadline => f.write_str("the call was not answered in time"),
            Self::Lost(why) => write!(f, "the call was lost: {why}"),
        }
    }
}

impl std::error::Error for Unanswered {}
