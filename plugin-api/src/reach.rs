//! From how far away an address can be dialled.

/// From where an address of a server can be dialled. Each value reaches at least as far as the one
/// before.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// From this machine: a unix socket, or loopback.
    Device,
    /// From this network: a private or link-local address.
    Local,
    /// From everywhere.
    Public,
}

impl Reach {
    /// Its number in the ABI.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Device => 0,
            Self::Local => 1,
            Self::Public => 2,
        }
    }

    /// The reach with this number; `None` for one that only a later version knows.
    #[cfg(feature = "host")]
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        [Self::Device, Self::Local, Self::Public].into_iter().find(|one| one.number() == number)
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_that_of_one_reach_and_a_later_version_may_have_more() {
        let numbered = [0, 1, 2, 3, u8::MAX].map(Reach::numbered);
        let known = [Reach::Device, Reach::Local, Reach::Public].map(Some);
        assert_eq!(numbered, [known[0], known[1], known[2], None, None]);
        assert!(known.is_sorted(), "the one that reaches further is the greater one");
    }
}
