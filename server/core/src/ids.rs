//! The ids of things. They are leaves: they know nothing about what they identify.

use core::fmt;
use core::num::NonZeroU32;

/// A connection, by the number that the broker gave it. A number is reused only after all others
/// were used in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// A plugin of this process, or of a host. Numbers of plugins of this process are never reused;
/// those of hosts' plugins are after all others were used in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId(pub u32);

/// A peer. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// A host that this server starts. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u32);

/// A direct connection that is being dialled. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectId(pub u64);

/// A call. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// An end's place in the table of ends, from 1 on. It is reused; a [`Handle`] is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndId(NonZeroU32);

impl EndId {
    /// The first place of the table.
    pub(crate) const FIRST: EndId = EndId(NonZeroU32::MIN);

    /// The end that a stream's tag names; a stream whose tag was never set has none.
    #[inline]
    pub(crate) fn of_tag(tag: u32) -> Option<EndId> {
        NonZeroU32::new(tag).map(EndId)
    }

    /// The tag of the stream that belongs to the end.
    #[inline]
    pub(crate) fn tag(self) -> u32 {
        self.0.get()
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub(crate) fn at(index: usize) -> Option<EndId> {
        u32::try_from(index + 1).ok().and_then(EndId::of_tag)
    }
}

impl fmt::Display for EndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A plugin's name for one of its ends. It is never reused after the end has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl Handle {
    pub(crate) fn new(generation: u32, id: EndId) -> Handle {
        Handle(u64::from(generation) << 32 | u64::from(id.tag()))
    }

    pub(crate) fn id(self) -> Option<EndId> {
        EndId::of_tag((self.0 & u64::from(u32::MAX)) as u32)
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
