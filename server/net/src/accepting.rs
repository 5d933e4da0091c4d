//! Accepting: which errors concern one connection only, and which all that follow.

use rustix::io::Errno;
use std::io;

/// Connections that may end before they are accepted in one call. Each is taken off the queue, so
/// this many in a row mean that the error is another one.
const ABORTED_MAX: usize = 64;

/// The result of an attempt to accept.
#[derive(Debug)]
pub enum Accepted<S> {
    /// A connection.
    Connection(S),
    /// No connection waits in the queue.
    Nobody,
    /// A resource is exhausted, mostly descriptors. The connections stay in the queue, and the
    /// listener stays readable: pause, and try again.
    Short(io::Error),
}

impl<S> Accepted<S> {
    /// Converts the connection.
    pub fn map<T>(self, convert: impl FnOnce(S) -> T) -> Accepted<T> {
        match self {
            Accepted::Connection(connection) => Accepted::Connection(convert(connection)),
            Accepted::Nobody => Accepted::Nobody,
            Accepted::Short(error) => Accepted::Short(error),
        }
    }
}

/// Accepts the next connection that has not ended already.
pub(crate) fn accept<S>(mut next: impl FnMut() -> Result<S, Errno>) -> Accepted<S> {
    let mut last = Errno::CONNABORTED;
    for _ in 0..ABORTED_MAX {
        match next() {
            Ok(connection) => return Accepted::Connection(connection),
            Err(Errno::AGAIN) => return Accepted::Nobody,
            Err(error) if concerns_one_connection(error) => last = error,
            Err(error) => return Accepted::Short(error.into()),
        }
    }
    Accepted::Short(last.into())
}

/// Whether the error concerns only the connection that was accepted, so that the next one may work.
/// Linux reports errors that were pending on the new socket, see accept(2).
fn concerns_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::NOPROTOOPT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result_of(errors: &[Errno]) -> Accepted<()> {
        let mut errors = errors.iter();
        accept(|| errors.next().map_or(Ok(()), |error| Err(*error)))
    }

    #[test]
    fn a_connection_that_ended_in_the_queue_is_skipped() {
        let aborted = [Errno::CONNABORTED, Errno::INTR, Errno::NETDOWN];
        assert!(matches!(result_of(&aborted), Accepted::Connection(())));
        assert!(matches!(result_of(&[Errno::AGAIN]), Accepted::Nobody));
    }

    #[test]
    fn a_lack_of_descriptors_is_reported_and_no_error_is_retried_forever() {
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::PERM] {
            let Accepted::Short(reported) = result_of(&[error]) else { panic!("{error}") };
            assert_eq!(reported.raw_os_error(), Some(error.raw_os_error()));
        }
        assert!(matches!(result_of(&[Errno::PROTO; 100]), Accepted::Short(_)));
    }
}
