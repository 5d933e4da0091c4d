//! How a plugin fails.

use std::fmt;

use crate::Reason;

/// Why a callback did not end as it should; the instance should be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It panicked.
    Panicked {
        /// What the panic says.
        message: String,
        /// `file:line:column`, when the plugin's panic hook told it.
        location: Option<String>,
    },
    /// The plugin broke the contract: how.
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
    /// The plugin says why it does not.
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
