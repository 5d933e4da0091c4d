//! What the broker asks the shell to do, as plain data.

use crate::address::Endpoint;
use crate::broker::{CallId, ChildId, ConnId, DirectId, Outcome, PeerId, PluginId};
use crate::control::SocketName;
use crate::directory::Change;
use crate::ids::Handle;
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::Reason;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Something that the shell has to do.
#[derive(Debug)]
pub enum Effect {
    /// Tell a plugin something.
    Tell(PluginId, Told),
    /// Dial a peer, then say [`connected`](super::Broker::connected) or
    /// [`dial_failed`](super::Broker::dial_failed).
    Dial(Dial),
    /// Write what is left in the connection's outbox, then close it. The broker has forgotten all
    /// else about it.
    HangUp(ConnId),
    /// Close the connection at once, without another byte.
    CutOff(ConnId),
    /// Dial a process directly, then say [`connected`](super::Broker::connected) or
    /// [`direct_failed`](super::Broker::direct_failed).
    DialDirect(DirectDial),
    /// Take these bytes as if the connection had just brought them.
    TakeAgain(ConnId, Vec<u8>),
    /// This direct connection is not wanted any more; if it is established, it is closed.
    DropDial(DirectId),
    /// The server of this host is found, and all that it knows is known: plugins can be started.
    HomeFound,
    /// The link to which this process owes its life is gone: there is nothing left to do.
    Orphaned,
    /// Start a host with a connection to it, and say [`connected`](super::Broker::connected); when
    /// it has ended, or cannot be started, [`child_ended`](super::Broker::child_ended).
    StartChild(ChildId),
    /// End a host whose link is gone, if it has not ended.
    EndChild(ChildId),
    /// The server does not take this plugin: stop it.
    Reject(PluginId, Reason),
    /// The command line asks for something: answer with
    /// [`answer_command`](super::Broker::answer_command).
    Command {
        /// What to name in the answer.
        request: Handle,
        /// `status`, `stop`, or `explain FROM TO`.
        name: String,
    },
}

/// Effects for which room is kept, about half a megabyte: more than an ordinary turn has.
const ROOM: usize = 4096;

/// What waits to be done, in this order.
#[derive(Debug, Default)]
pub(super) struct Effects(VecDeque<Queued>);

/// One thing that waits to be done.
#[derive(Debug)]
pub(super) enum Queued {
    Effect(Effect),
    /// Plugins are told what has become of an entry of the directory: of a server, with a name.
    News(Key, Name),
}

impl Effects {
    pub(super) fn push_back(&mut self, effect: Effect) {
        self.0.push_back(Queued::Effect(effect));
    }

    /// A plugin is told something.
    #[inline]
    pub(super) fn tell(&mut self, plugin: PluginId, told: Told) {
        self.push_back(Effect::Tell(plugin, told));
    }

    pub(super) fn push_news(&mut self, server: Key, name: Name) {
        self.0.push_back(Queued::News(server, name));
    }

    /// Puts effects in front of all others.
    pub(super) fn push_front_all(&mut self, effects: Vec<Effect>) {
        for effect in effects.into_iter().rev() {
            self.0.push_front(Queued::Effect(effect));
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Queued> {
        self.0.pop_front()
    }

    /// Gives back the room that only an extraordinary turn needed.
    pub(super) fn release_room(&mut self) {
        if self.0.is_empty() && self.0.capacity() > 2 * ROOM {
            self.0.shrink_to(ROOM);
        }
    }

    /// The bytes of the room.
    pub(super) fn room(&self) -> usize {
        self.0.capacity() * size_of::<Queued>()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter().filter_map(|queued| match queued {
            Queued::Effect(effect) => Some(effect),
            Queued::News(..) => None,
        })
    }
}

impl IntoIterator for Effects {
    type Item = Queued;
    type IntoIter = alloc::collections::vec_deque::IntoIter<Queued>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A peer to dial.
#[derive(Debug)]
pub struct Dial {
    /// Which peer.
    pub peer: PeerId,
    /// Where it is, the best place first.
    pub endpoints: Vec<Endpoint>,
    /// Whether only plugins asked for it, and the configuration does not list it.
    pub for_plugins: bool,
}

/// A direct connection to dial.
#[derive(Debug)]
pub struct DirectDial {
    /// Its number.
    pub id: DirectId,
    /// Where to.
    pub place: DirectPlace,
}

/// Where a process takes direct connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectPlace {
    /// At a unix socket in the folder that all processes of one user on one machine share.
    Socket(SocketName),
    /// At one of these TCP endpoints, the best one first.
    Net(Vec<Endpoint>),
    /// At the address from which its link comes, from the port of our own link, while it dials us.
    Punch(Vec<Endpoint>),
    /// As `Punch`, from the side that is called: the connection then counts as accepted, as
    /// [`Opened::Direct`](super::Opened::Direct).
    Answer(Vec<Endpoint>),
}

/// What a plugin is told.
#[derive(Debug)]
pub enum Told {
    /// Another plugin opens a channel: accept or refuse it.
    Open(Handle, Caller),
    /// A channel that the plugin opened was accepted.
    Opened(Handle),
    /// There is room to write; ask [`room`](super::Broker::room) how much.
    Credit(Handle),
    /// Bytes are waiting: take them with [`take_inbox`](super::Broker::take_inbox).
    Deliver(Handle),
    /// The other end writes no more.
    Close(Handle),
    /// The other end reads no more.
    StopRead(Handle),
    /// The last word about a channel; without a reason, both ends closed it in order.
    Ended(Handle, Option<Reason>),
    /// The directory changed.
    Directory(Arc<Change>),
    /// A link came up or went down.
    Link(LinkChange),
    /// A timer fired.
    Timer(u64),
    /// Another plugin calls, with this request.
    Call(CallId, Caller, Vec<u8>),
    /// The outcome of a call that the plugin has to answer is not awaited any more.
    Cancelled(CallId),
    /// The outcome of a call that the plugin made.
    Reply(CallId, Outcome),
}

impl Told {
    /// The channel that it is about.
    pub(crate) fn channel(&self) -> Option<Handle> {
        match self {
            Told::Open(handle, _)
            | Told::Opened(handle)
            | Told::Credit(handle)
            | Told::Deliver(handle)
            | Told::Close(handle)
            | Told::StopRead(handle)
            | Told::Ended(handle, _) => Some(*handle),
            Told::Directory(_)
            | Told::Link(_)
            | Told::Timer(_)
            | Told::Call(..)
            | Told::Cancelled(_)
            | Told::Reply(..) => None,
        }
    }
}

/// The plugin that opens a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The calling plugin.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// The server where it is.
    pub server: Key,
}

/// A link came up, or went down for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// The server at the other end.
    pub server: Key,
    /// Its name.
    pub name: String,
    /// Why it went down; `None` when it came up.
    pub down: Option<Reason>,
}

/// What one call of [`receive`](super::Broker::receive) came to.
#[derive(Debug)]
pub enum Step<'a> {
    /// The input is used up.
    Done,
    /// There may be effects to perform before the next call.
    More,
    /// Tell a plugin these bytes, after the effects that are waiting, then say
    /// [`consumed`](super::Broker::consumed).
    Write {
        /// The plugin.
        plugin: PluginId,
        /// Its end of the channel.
        channel: Handle,
        /// The bytes, borrowed from the input.
        bytes: &'a [u8],
    },
}
