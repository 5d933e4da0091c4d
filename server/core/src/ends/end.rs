//! One end of a channel: who owns it, to which end it is joined, and its accounts.

use super::Inbox;
use super::flags::{Flag, Flags};
use crate::bymux::StreamId;
use crate::control::Purpose;
use crate::ids::{ConnId, EndId, Handle, PluginId};
use crate::key::Key;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// Who gives to an end, and is told what comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A plugin of this process.
    Plugin(PluginId),
    /// A stream of a link.
    Stream(ConnId, StreamId),
}

/// How far the opening of a channel has come, as this end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A plugin opened the channel, and waits for the answer.
    Asking,
    /// A plugin was told of the channel, and has not answered. The stream that it came on is
    /// `Asking` for so long.
    Asked,
    /// Bytes flow.
    Open,
}

/// Between whom a channel is, and how. Channels between the same two plugins share it.
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
    /// How often its place in the table was used before.
    pub(super) generation: u32,
    /// Bytes that the owner took, for which no credit was given back to the other end. It is given
    /// back before that is a window, and no window can be configured that does not fit.
    pub(crate) owed: u32,
    pub(crate) flags: Flags,
    pub(crate) phase: Phase,
    /// What the owner was told and has not taken.
    pub(crate) inbox: Inbox,
    /// Bytes that the owner may still give. Of a plugin whose peer is a stream, bymux keeps it.
    pub(crate) allowance: u64,
    /// Bytes that the owner gave.
    pub(crate) given: u64,
    /// Bytes that the owner was told.
    pub(crate) told: u64,
    /// Between whom the channel is. One of its two ends holds it.
    pub(crate) info: Option<Arc<ChannelInfo>>,
    rare: Option<Box<Rare>>,
}

// An idle channel may cost 256 bytes in all layers together, and has two ends.
const _: () = assert!(size_of::<End>() <= 80);

/// The owner, and of a plugin's end its neighbours among the ends of that plugin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Plugin { plugin: PluginId, before: Option<EndId>, behind: Option<EndId> },
    Stream(ConnId, StreamId),
}

/// What most ends do not have.
#[derive(Debug)]
pub(crate) struct Rare {
    /// Of a plugin that waits for the answer to its channel: what it has written so far, which is
    /// sent again if a direct connection takes the stream's place.
    pub(crate) early: Inbox,
    /// The plugin's end that this stream may be joined to, if it is the first one that is accepted.
    pub(crate) candidate_of: Option<EndId>,
    /// A stream that we opened is aborted for this when it is answered: before, the peer might not
    /// hear the reason.
    pub(crate) aborts_for: Option<Reason>,
    /// The plugin that joined this end to its peer, and answers for it.
    pub(super) through: Option<PluginId>,
    /// The end to which this one is joined as soon as both are accepted. Until then, neither is
    /// told anything but its end.
    pub(crate) join_to: Option<Handle>,
    /// By how many bytes the window is larger than a window is at first.
    pub(crate) widened: u64,
    /// How many of them are on the account of the link that the bytes come from.
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

    /// What the channel's bytes are.
    pub(crate) fn purpose(&self) -> Purpose {
        match self.flags.has(Flag::Calls) {
            true => Purpose::Calls,
            false => Purpose::Channel,
        }
    }

    /// What most ends do not have.
    #[inline]
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// Changes what most ends do not have; it takes no memory when nothing of it is left.
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

    /// Forgets what a plugin wrote before the answer, and gives it.
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

    /// Whether the owner may be told what the other end gives.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Open && self.rare().join_to.is_none()
    }

    /// Whether the other side is gone before the plugin has answered.
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

    /// Names the stream of a stream's end, which is known only when the end is in its table.
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
}
