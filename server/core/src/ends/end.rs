//! One end of a channel: who owns it, to which end it is joined, and its accounts.

use super::{EndId, Handle, Inbox};
use crate::broker::{ConnId, PluginId};
use crate::bymux::StreamId;
use crate::control::Purpose;
use crate::key::Key;
use crate::link::Round;
use crate::name::Name;
use crate::reason::Reason;
use crate::route::Route;
use alloc::boxed::Box;

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

/// Facts of an end that are true or not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndFlags {
    /// The owner writes no more.
    pub(crate) write_over: bool,
    /// The owner was told that nobody reads what it writes.
    pub(crate) stopped: bool,
    /// The owner is told no more bytes.
    pub(crate) read_over: bool,
    /// The other end writes no more; the owner is told as soon as the inbox is empty.
    pub(crate) closing: bool,
    /// The owner's last write was cut short: tell it when there is room.
    pub(crate) wants_room: bool,
    /// Half of the window was used up in one round trip: it may grow.
    pub(crate) short_window: bool,
    /// A plugin gives credit itself.
    pub(crate) manual: bool,
    /// It carries calls: what its plugin would be told, the broker is told.
    pub(crate) calls: bool,
    /// The last word about this end is on its way to its plugin.
    pub(crate) ending: bool,
    /// The plugin has given this end up, and hears nothing but the last word.
    pub(crate) muted: bool,
    /// A delivery of the inbox is on its way to the plugin.
    pub(crate) delivering: bool,
    /// StopRead goes out on this stream as soon as the peer has answered: without our reading, it
    /// could not answer.
    pub(crate) stop_when_answered: bool,
}

/// Between whom a channel is. One of its two ends holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelInfo {
    pub(crate) from: (Name, Key),
    pub(crate) to: (Name, Key),
    pub(crate) route: Route,
}

/// One end of a channel.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) owner: Owner,
    pub(crate) peer: Option<EndId>,
    pub(crate) phase: Phase,
    pub(crate) flags: EndFlags,
    /// What the owner was told and has not taken.
    pub(crate) inbox: Inbox,
    /// Of a plugin that waits for the answer to its channel: what it has written so far, which is
    /// sent again if a direct connection takes the stream's place.
    pub(crate) early: Inbox,
    /// The plugin's end that this stream may be joined to, if it is the first one that is accepted.
    pub(crate) candidate_of: Option<EndId>,
    /// A stream that we opened is aborted for this when it is answered: before, the peer might not
    /// hear the reason.
    pub(crate) aborts_for: Option<Box<Reason>>,
    /// Bytes that the owner may still give. Of a plugin whose peer is a stream, bymux keeps it.
    pub(crate) allowance: u64,
    /// Bytes that the owner took, for which no credit was given back to the other end.
    pub(crate) owed: u64,
    /// Bytes that may be on the way to this end: what `owed` and the other end's allowance add up
    /// to.
    pub(crate) window: u64,
    /// By how much the window has grown, on the account of the link that the bytes come from.
    pub(crate) grown: u64,
    /// The round trip in which bytes are being counted, and how many they are.
    pub(crate) round: Round,
    pub(crate) in_round: u64,
    /// Bytes that the owner gave.
    pub(crate) given: u64,
    /// Bytes that the owner was told.
    pub(crate) told: u64,
    /// The plugin that joined this end to its peer, and answers for it.
    pub(crate) through: Option<PluginId>,
    /// The end to which this one is joined as soon as both are accepted. Until then, neither is
    /// told anything but its end.
    pub(crate) join_to: Option<Handle>,
    pub(crate) info: Option<Box<ChannelInfo>>,
}

impl End {
    pub(crate) fn new(owner: Owner, phase: Phase, window: u64) -> End {
        End {
            owner,
            peer: None,
            phase,
            flags: EndFlags::default(),
            inbox: Inbox::default(),
            early: Inbox::default(),
            candidate_of: None,
            aborts_for: None,
            allowance: 0,
            owed: 0,
            window,
            grown: 0,
            round: Round::default(),
            in_round: 0,
            given: 0,
            told: 0,
            through: None,
            join_to: None,
            info: None,
        }
    }

    /// The end of a plugin.
    pub(crate) fn of_plugin(plugin: PluginId, phase: Phase, window: u64, purpose: Purpose) -> End {
        let mut end = End::new(Owner::Plugin(plugin), phase, window);
        end.flags.calls = purpose == Purpose::Calls;
        end
    }

    /// What the channel's bytes are.
    pub(crate) fn purpose(&self) -> Purpose {
        if self.flags.calls { Purpose::Calls } else { Purpose::Channel }
    }

    /// Whether the owner may be told what the other end gives.
    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Open && self.join_to.is_none()
    }

    /// Whether the other side is gone before the plugin has answered.
    pub(crate) fn is_lost(&self) -> bool {
        self.phase == Phase::Asked && self.flags.ending
    }

    pub(crate) fn plugin(&self) -> Option<PluginId> {
        match self.owner {
            Owner::Plugin(plugin) => Some(plugin),
            Owner::Stream(..) => None,
        }
    }

    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.owner {
            Owner::Stream(conn, _) => Some(conn),
            Owner::Plugin(_) => None,
        }
    }
}
