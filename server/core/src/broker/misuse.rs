//! What a plugin can do wrong with what its host offers it.

use core::fmt;

/// What a plugin did that no plugin may do. It fails for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// It named a channel that it never had.
    NoSuchChannel,
    /// It answered a channel that was not waiting for its answer.
    NothingToAnswer,
    /// It wrote to a channel after it had closed it.
    WriteAfterClose,
    /// It gave credit for a channel that would sum up to more than 2^64 - 2.
    CreditOverflow,
    /// It named a call that it never made, or was never asked to answer.
    NoSuchCall,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misuse::NoSuchChannel => "it named a channel that it never had",
            Misuse::NothingToAnswer => "it answered a channel that was not waiting for an answer",
            Misuse::WriteAfterClose => "it wrote to a channel that it had closed",
            Misuse::NoSuchCall => "it named a call that it never had",
            Misuse::CreditOverflow => "it gave more credit than 2^64 - 2 in all",
        })
    }
}
