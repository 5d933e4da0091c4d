//! What a server offers one plugin.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::task::Waker;
use std::time::Duration;

use crate::{
    Call, Channel, Entry, Interest, Key, Link, Reach, Reason, Server, Target, Timer, Unanswered,
    Watch,
};

/// Which plugin is called: a [`Target`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callee<'a> {
    /// The wanted name, as the plugin wrote it: any bytes.
    pub name: &'a [u8],
    /// The least version that suffices.
    pub version: u64,
    /// Where it may be.
    pub place: CalleePlace<'a>,
    /// What the host stored here when the target was last used, 0 at first. A plugin can put any
    /// value here.
    pub hint: u64,
}

/// A [`Place`](super::Place), borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalleePlace<'a> {
    /// On this server if it is here, else on any linked server that has it.
    Anywhere,
    /// On this server only.
    Here,
    /// On the linked server with this key (in base64) or this name.
    Server(&'a str),
}

/// Receives the outcome of a call, at most once.
pub type ShowOutcome<'a> = &'a mut dyn FnMut(Result<&[u8], &Unanswered>);

/// The server as one plugin instance reaches it: the counterpart of [`Host`](crate::Host).
///
/// Every method is called on the thread of the host loop, while a callback of the plugin is on the
/// stack, from [`Module::create`](super::Module::create) on. No method may call the instance;
/// consequences are delivered later. A plugin can pass any number for a channel, a call, a timer or
/// a watch.
pub trait HostApi {
    /// The name under which the plugin runs here.
    fn name(&self) -> String;

    /// This server.
    fn server(&self) -> Server;

    /// The plugin opens a channel. An error refuses it at once.
    fn open(&self, target: &Target) -> Result<Channel, Reason>;

    /// The plugin accepts a channel that it answered with `Later`.
    fn accept(&self, channel: Channel);

    /// The plugin refuses a channel that it answered with `Later`.
    fn refuse(&self, channel: Channel, why: Reason);

    /// The plugin writes. Returns how many bytes were taken.
    fn write(&self, channel: Channel, bytes: &[u8]) -> usize;

    /// The plugin has consumed that many bytes of a channel that it holds.
    fn credit(&self, channel: Channel, amount: u64);

    /// From now on the plugin gives credit for this channel by hand.
    fn hold(&self, channel: Channel);

    /// The plugin no longer writes.
    fn close(&self, channel: Channel);

    /// The plugin no longer reads.
    fn stop_read(&self, channel: Channel);

    /// The plugin ends a channel at once.
    fn abort(&self, channel: Channel, why: Reason);

    /// The plugin joins two of its ends.
    fn join(&self, a: Channel, b: Channel);

    /// The plugin sets a timer for this time from now.
    fn set_timer(&self, after: Duration) -> Timer;

    /// The plugin cancels a timer.
    fn cancel_timer(&self, timer: Timer);

    /// The plugin watches this descriptor's edges. The descriptor still belongs to the plugin.
    fn watch(&self, fd: BorrowedFd<'_>, interest: Interest) -> Result<Watch, Reason>;

    /// The plugin stops watching. The descriptor may be closed by now.
    fn unwatch(&self, watch: Watch);

    /// Makes a waker, which may be used on any thread and outlive the instance.
    fn waker(&self) -> Waker;

    /// Every plugin that this one may see.
    fn directory(&self) -> Vec<Entry>;

    /// Every link that is up.
    fn links(&self) -> Vec<Link>;

    /// The plugin opens a link to the server at a multiserver address. Returns the key that the
    /// address names. One attempt is made; its outcome is reported as a change of the link.
    ///
    /// # Errors
    ///
    /// `not-allowed` without the permission `links`, `bad-address`, `limit-reached`.
    fn open_link(&self, address: &str) -> Result<Key, Reason>;

    /// The plugin ends the link to a server, which is redialled only after a directory changes or a
    /// plugin opens it.
    ///
    /// # Errors
    ///
    /// `not-allowed` without the permission `links`, `unknown-server` when there is no link.
    fn close_link(&self, server: Key) -> Result<(), Reason>;

    /// The multiserver addresses of this server with at least this reach, the best one first.
    fn addresses(&self, reach: Reach) -> Vec<String>;

    /// The plugin declares that it opens channels to this name, at this version or later, besides
    /// those of its [`About`](crate::About). The name can be any text.
    ///
    /// # Errors
    ///
    /// `bad-name`, or `limit-reached` from the 65th on, with those of its `About`.
    fn uses(&self, name: &str, version: u64) -> Result<(), Reason>;

    /// The plugin declares that plugins with this name on other servers should connect to it,
    /// besides those of its [`About`](crate::About). The name can be any text.
    ///
    /// # Errors
    ///
    /// `bad-name`, or `limit-reached` from the 65th on, with those of its `About`.
    fn invites(&self, name: &str) -> Result<(), Reason>;

    /// The plugin calls another one. Either the outcome is shown before this returns, or the call
    /// is returned whose outcome follows later. Other instances may be called meanwhile.
    fn call(
        &self,
        callee: &mut Callee<'_>,
        request: &[u8],
        deadline: Duration,
        outcome: ShowOutcome<'_>,
    ) -> Option<Call>;

    /// The plugin cancels a call.
    fn cancel(&self, call: Call);

    /// The plugin answers a call.
    fn answer(&self, call: Call, answer: &[u8]);

    /// The plugin refuses a call.
    fn refuse_call(&self, call: Call, why: Reason);

    /// The plugin's data folder, as an absolute path. It is created if it does not exist.
    ///
    /// # Errors
    ///
    /// `no-data-folder`.
    fn data_dir(&self) -> Result<PathBuf, Reason>;

    /// The folder of the configuration file that names the plugin, as an absolute path.
    fn config_dir(&self) -> PathBuf;

    /// A method of this trait panicked with this message, while it served the plugin. The plugin
    /// received an error and goes on.
    fn host_panicked(&self, message: &str);
}
