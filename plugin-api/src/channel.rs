//! The numbers by which a plugin and its host identify channels, calls, timers and watches.

use core::fmt;

/// Defines a type for numbers that only the host issues, and issues once.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// A plugin instance never sees the same number twice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u64);

        impl $name {
            /// The number that the host gave.
            #[must_use]
            pub const fn number(self) -> u64 {
                self.0
            }

            /// Makes one. For the host, which must not issue a number twice.
            #[cfg(feature = "host")]
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One end of a two-way byte stream between two plugins.
    Channel
}

number! {
    /// A call that this plugin made, or has to answer.
    Call
}

number! {
    /// A timer that was set and has not fired.
    Timer
}

number! {
    /// A file descriptor that the host watches for its plugin.
    Watch
}
