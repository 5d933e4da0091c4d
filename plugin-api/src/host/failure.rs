//! How a plugin fails.

use std::fmt;

use crate::Reason;

/// Why a callback failed. The instance should be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line:column`, if the plugin's panic hook reported it.
        location: Option<String>,
    },
    /// The plugin broke the contract in this way.
    Misused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { message, location: Some(at) } => write!(f, "panic at {at}: {message}"),
            Self::Panicked { message, location: None } => write!(f, "panic: {message}"),
            Self::Misused(how) => f.write_str(how),
        }
    }
}

impl std::error::Error for Failure {}

/// Why an instance did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartError {
    /// The plugin's own reason.
    Refused(Reason),
    /// It failed.
    Failed(Failure),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => reason.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
