//! One end of a channel: its owner, the end to which it is joined, and its accounts.

use super::flags::{Flag, Flags};
use super::{Inbox, Table};
use crate::bymux::StreamId;
use crate::control::Purpose;
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::key::Key;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// The owner of an end: it writes to the end and reads from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A plugin of this process.
    Plugin(PluginId),
    /// A stream of a link.
    Stream(ConnId, StreamId),
}

/// The progress of opening a channel, as this end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A plugin opened the channel, and waits for the answer.
    Asking,
    /// A plugin was asked about the channel, and has not answered. The stream on which it arrived
    /// is `Asking` meanwhile.
    Asked,
    /// Bytes flow.
    Open,
}

/// The two plugins of a channel, and the purpose. Channels between the same two plugins share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChannelInfo {
    pub(crate) from: (Name, Key),
    pub(crate) to: (Name, Key),
    pub(crate) route: Route,
}

/// One end of a channel. A server may hold hundreds of thousands, most of them idle.
#[derive(Debug)]
pub(crate) struct End {
    pub(super) held: Held,
    pub(crate) peer: Option<EndId>,
    /// How often its place in the table was reused.
    pub(super) generation: u32,
    /// Bytes that the owner took, for which no credit was given back to the other end yet. It is
    /// given back before it amounts to a window, and no larger window can be configured than fits
    /// here.
    pub(crate) owed: u32,
    pub(crate) flags: Flags,
    pub(crate) phase: Phase,
    /// Bytes that arrived for the owner and that it has not taken.
    pub(crate) inbox: Inbox,
    /// Bytes that the owner may still write. For a plugin whose peer is a stream, bymux keeps this.
    pub(crate) allowance: u64,
    /// Bytes that the owner wrote.
    pub(crate) given: u64,
    /// Bytes that were delivered to the owner.
    pub(crate) told: u64,
    /// The two plugins of the channel. One of its two ends holds this.
    pub(crate) info: Option<Arc<ChannelInfo>>,
    rare: Option<Box<Rare>>,
}

// An idle channel may cost 256 bytes in all layers together, and has two ends.
const _: () = assert!(size_of::<End>() <= 80);

/// The owner, and for a plugin's end its neighbours in the list of that plugin's ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Plugin { plugin: PluginId, before: Option<EndId>, behind: Option<EndId> },
    Stream(ConnId, StreamId),
}

/// Fields that most ends do not need.
#[derive(Debug)]
pub(crate) struct Rare {
    /// For a plugin that waits for the answer to its channel: what it has written so far, which is
    /// sent again if a direct connection replaces the stream.
    pub(crate) early: Inbox,
    /// The plugin's end to which this stream may be joined, if it is the first one that is
    /// accepted.
    pub(crate) candidate_of: Option<Handle>,
    /// A stream that we opened is aborted with this reason once it is answered. Before that, the
    /// peer might miss the reason.
    pub(crate) aborts_for: Option<Reason>,
    /// The plugin that joined this end to its peer, and answers for it.
    pub(super) through: Option<PluginId>,
    /// The end to which this one is joined as soon as both are accepted. Until then, neither is
    /// notified of anything but its end.
    pub(crate) join_to: Option<Handle>,
    /// By how many bytes the window has grown.
    pub(crate) widened: u64,
    /// How many of these bytes are charged to the link from which the bytes come.
    pub(crate) grown: u64,
}

static NOTHING: Rare = Rare {
    early: Inbox::EMPTY,
    candidate_of: None,
    aborts_for: None,
    through: None,
    join_to: None,
    widened: 0,
    grown: 0,
};

impl Rare {
    fn is_nothing(&self) -> bool {
        let Rare { early, candidate_of, aborts_for, through, join_to, widened, grown } = self;
        let names = candidate_of.is_none() && through.is_none() && join_to.is_none();
        names && early.is_empty() && aborts_for.is_none() && *widened == 0 && *grown == 0
    }
}

impl End {
    pub(crate) fn new(owner: Owner, phase: Phase) -> End {
        End {
            held: match owner {
                Owner::Plugin(plugin) => Held::Plugin { plugin, before: None, behind: None },
                Owner::Stream(conn, stream) => Held::Stream(conn, stream),
            },
            peer: None,
            generation: 0,
            owed: 0,
            flags: Flags::default(),
            phase,
            inbox: Inbox::EMPTY,
            allowance: 0,
            given: 0,
            told: 0,
            info: None,
            rare: None,
        }
    }

    /// The purpose of the channel.
    pub(crate) fn purpose(&self) -> Purpose {
        match self.flags.has(Flag::Calls) {
            true => Purpose::Calls,
            false => Purpose::Channel,
        }
    }

    /// The fields that most ends do not need.
    #[inline]
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// Changes the rare fields; they take no memory if all have their defaults.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Rare) -> T) -> T {
        let mut rare = self.rare.take().unwrap_or_else(|| {
            let (early, candidate_of, aborts_for) = (Inbox::EMPTY, None, None);
            let (through, join_to, widened, grown) = (None, None, 0, 0);
            let rare = Rare { early, candidate_of, aborts_for, through, join_to, widened, grown };
            Box::new(rare)
        });
        let result = change(&mut rare);
        self.rare = (!rare.is_nothing()).then_some(rare);
        result
    }

    /// Removes and returns what a plugin wrote before the answer.
    pub(crate) fn take_early(&mut self) -> Inbox {
        match self.rare {
            Some(_) => self.change(|rare| core::mem::take(&mut rare.early)),
            None => Inbox::EMPTY,
        }
    }

    /// Bytes that the owner took, for which credit has to be given back.
    pub(crate) fn owe(&mut self, bytes: u64) {
        let owed = u64::from(self.owed).saturating_add(bytes);
        self.owed = u32::try_from(owed).unwrap_or(u32::MAX);
    }

    /// Whether what the other end writes may be delivered to the owner.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Open && self.rare().join_to.is_none()
    }

    /// Whether the other side ended before the plugin answered.
    pub(crate) fn is_lost(&self) -> bool {
        self.phase == Phase::Asked && self.flags.has(Flag::Ending)
    }

    /// Whether the owner closed its side, and was not stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.flags.has(Flag::WriteOver) && !self.flags.has(Flag::Stopped)
    }

    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        match self.held {
            Held::Plugin { plugin, .. } => Owner::Plugin(plugin),
            Held::Stream(conn, stream) => Owner::Stream(conn, stream),
        }
    }

    /// Sets the stream of a stream's end, which is known only after the end is in its table.
    pub(crate) fn set_stream(&mut self, of: ConnId, named: StreamId) {
        if let Held::Stream(conn, stream) = &mut self.held {
            (*conn, *stream) = (of, named);
        }
    }

    #[inline]
    pub(crate) fn plugin(&self) -> Option<PluginId> {
        match self.held {
            Held::Plugin { plugin, .. } => Some(plugin),
            Held::Stream(..) => None,
        }
    }

    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.held {
            Held::Stream(conn, _) => Some(conn),
            Held::Plugin { .. } => None,
        }
    }

    /// The plugin that joined this end to its peer, and answers for it.
    pub(crate) fn through(&self) -> Option<PluginId> {
        self.rare().through
    }

    /// The plugins that answer for this end.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = PluginId> + use<> {
        [self.plugin(), self.through()].into_iter().flatten()
    }

    /// The tables in which this end takes a place.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        let link = self.conn().map(Table::Link);
        self.plugins().map(Table::Plugin).chain(link)
    }
}
