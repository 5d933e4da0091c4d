//! What the shell says to the broker, each with the same last step: links whose peers broke a rule
//! meanwhile are ended. So no transition in progress finds the world changed under it.

use crate::address::{Endpoint, Scope};
use crate::broker::flows::links::open_link;
use crate::broker::{
    Broker, CallId, ChildConfig, ChildId, ConnId, Direct, DirectId, Grants, Handle, Misuse,
    Opening, PeerConfig, PeerId, PluginConfig, PluginId, PluginState, Target, TimerKey,
};
use crate::directory::Entry;
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::{Code, Reason};
use alloc::vec::Vec;
use core::time::Duration;

impl Broker {
    /// What the plugin is doing.
    pub fn plugin_state(&self, plugin: PluginId) -> Option<&PluginState> {
        self.registry.plugin_state(plugin)
    }

    /// Whether the plugin may still be told anything.
    pub fn is_live(&self, plugin: PluginId) -> bool {
        self.registry.is_live(plugin)
    }

    /// Every plugin that the directory knows.
    pub fn directory(&self) -> impl Iterator<Item = Entry> + '_ {
        self.registry.directory().entries()
    }

    /// Adds a plugin that is about to start. A name that is taken is refused.
    pub fn add_plugin(&mut self, config: PluginConfig) -> Result<PluginId, Reason> {
        let added = self.do_add_plugin(config);
        self.settle();
        added
    }

    /// Sets a timer of a plugin; it fires once, `after` from now.
    pub fn set_timer(&mut self, plugin: PluginId, after: Duration) -> u64 {
        let Some(timer) = self.registry.next_timer(plugin) else { return 0 };
        self.timers.set(TimerKey::Plugin(plugin, timer), self.now.saturating_add(after));
        timer
    }

    /// Cancels a timer of a plugin. One that has fired is no error.
    pub fn cancel_timer(&mut self, plugin: PluginId, timer: u64) {
        self.timers.cancel(TimerKey::Plugin(plugin, timer));
    }

    /// The plugin runs: it appears in the directory, here and at the peers that may see it.
    pub fn plugin_started(&mut self, plugin: PluginId) {
        self.calls.plugin_runs(plugin);
        self.registry.plugin_started(plugin, &mut self.effects);
        self.settle();
    }

    /// A plugin says that it opens channels to plugins of a name.
    pub fn uses(&mut self, plugin: PluginId, name: Name, least: Version) -> Result<(), Reason> {
        let said = self.registry.uses(plugin, name, least, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin says that plugins of a name should connect to it.
    pub fn invites(&mut self, plugin: PluginId, name: Name) -> Result<(), Reason> {
        let said = self.registry.invites(plugin, name, &mut self.effects);
        self.settle();
        said
    }

    /// Where this process takes direct connections for a plugin.
    pub fn set_direct(&mut self, plugin: PluginId, direct: Direct) {
        self.registry.set_direct(plugin, direct);
        self.settle();
    }

    /// The plugin panicked, misused its host or did not start: its channels close with the reason
    /// `plugin-failed`, and it leaves the directory.
    pub fn plugin_failed(&mut self, plugin: PluginId, text: &str) {
        let reason = Reason::server(Code::PluginFailed, text);
        self.plugin_over(plugin, PluginState::Failed(reason));
        self.settle();
    }

    /// A plugin of the configuration could not be loaded, and was not added; `text` says why.
    pub fn plugin_not_loaded(&mut self, name: Name, text: &str) {
        self.registry.note_not_loaded(name, Reason::server(Code::PluginFailed, text));
    }

    /// The plugin was stopped in order.
    pub fn plugin_stopped(&mut self, plugin: PluginId) {
        self.plugin_over(plugin, PluginState::Stopped);
        self.settle();
    }

    /// A plugin accepts a channel that it was told of.
    pub fn accept(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let said = self.switch.accept(plugin, handle, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin refuses a channel that it was told of; it hears no more of it.
    pub fn refuse(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        let said = self.switch.refuse(plugin, handle, reason, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin writes: how many of the bytes were taken. After a short write, `Credit` is told
    /// when there is room. What is written after `StopRead` was told is dropped.
    pub fn write(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        bytes: &[u8],
    ) -> Result<usize, Misuse> {
        self.switch.write(plugin, handle, bytes, &mut self.effects)
    }

    /// How many bytes a plugin could write now.
    pub fn room(&mut self, plugin: PluginId, handle: Handle) -> u64 {
        self.switch.room(plugin, handle)
    }

    /// The bytes that wait for a plugin: tell it, then say [`consumed`](Broker::consumed).
    pub fn take_inbox(&mut self, plugin: PluginId, handle: Handle) -> Vec<u8> {
        self.switch.take_inbox(plugin, handle)
    }

    /// A plugin gives credit for its end itself from now on.
    pub fn hold(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        self.switch.hold(plugin, handle)
    }

    /// A plugin writes no more to a channel.
    pub fn close(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let said = self.switch.close(plugin, handle, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin reads no more from a channel.
    pub fn stop_read(&mut self, plugin: PluginId, handle: Handle) -> Result<(), Misuse> {
        let said = self.switch.stop_read(plugin, handle, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin ends a channel in both directions, and drops what is on the way.
    pub fn abort(
        &mut self,
        plugin: PluginId,
        handle: Handle,
        reason: Reason,
    ) -> Result<(), Misuse> {
        let said = self.switch.abort(plugin, handle, reason, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin joins two of its ends, which may be the same: what one is told, the other is given.
    /// The plugin hears no more of them. Ends that wait for an answer are joined once accepted. If
    /// one of them is over, the other one is ended.
    pub fn join(&mut self, plugin: PluginId, a: Handle, b: Handle) -> Result<(), Misuse> {
        let said = self.switch.join(plugin, a, b, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin has returned from being told `count` bytes. Unless it gives credit itself, they are
    /// consumed, and the other end may write as many more.
    pub fn consumed(&mut self, plugin: PluginId, handle: Handle, count: usize) {
        self.switch.consumed(plugin, handle, count, &mut self.effects);
        self.settle();
    }

    /// A plugin lets the other end write more.
    pub fn credit(&mut self, plugin: PluginId, handle: Handle, amount: u64) -> Result<(), Misuse> {
        let said = self.switch.credit(plugin, handle, amount, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin opens a channel. It may write at once; `Opened` or `Ended` is told later.
    pub fn open(&mut self, plugin: PluginId, target: &Target) -> Result<Handle, Reason> {
        let said = self.do_open(plugin, target);
        self.settle();
        said
    }

    /// A plugin wants a link to the server at an address, which has to name its key. The plugin is
    /// told the outcome. One attempt is made.
    pub fn open_link(&mut self, plugin: PluginId, address: &str) -> Result<Key, Reason> {
        let said = open_link(
            (&self.registry, &mut self.neighbours),
            &mut self.switch,
            plugin,
            address,
            &mut self.effects,
        );
        self.settle();
        said
    }

    /// A plugin ends the link to a server, which is not dialled again until a plugin of this server
    /// appears or changes, or a plugin opens it.
    pub fn close_link(&mut self, plugin: PluginId, server: Key) -> Result<(), Reason> {
        let said = self.do_close_link(plugin, server);
        self.settle();
        said
    }

    /// A plugin refuses a call. It may be over already, which is no error.
    pub fn refuse_call(
        &mut self,
        plugin: PluginId,
        call: CallId,
        reason: Reason,
    ) -> Result<(), Misuse> {
        let said = self.calls.refuse(plugin, call, reason, &mut self.effects);
        self.settle();
        said
    }

    /// A plugin waits for the outcome of a call no longer; it is told that it was cancelled. The
    /// call may be over already, which is no error.
    pub fn cancel_call(&mut self, plugin: PluginId, call: CallId) -> Result<(), Misuse> {
        let said = self.calls.cancel(plugin, call, &mut self.effects);
        self.settle();
        said
    }

    /// A connection is open. Hello is put in its outbox as soon as we may show who we are: at once,
    /// but for one that was accepted over `shs`.
    pub fn connected(&mut self, opening: Opening) -> ConnId {
        let said = self.do_connected(opening);
        self.settle();
        said
    }

    /// The transport of a connection ended or failed; `text` says how. Of one that is ending, it is
    /// the last that the broker hears.
    pub fn disconnected(&mut self, id: ConnId, text: &str) {
        self.do_disconnected(id, text);
        self.settle();
    }

    /// No address of a peer could be reached; `text` says why.
    pub fn dial_failed(&mut self, id: PeerId, text: &str) {
        self.neighbours.dial_failed(id, text);
        self.settle();
    }

    /// A direct connection could not be dialled; `why` is for people.
    pub fn direct_failed(&mut self, id: DirectId, why: &str) {
        self.meetings.dial_failed(id, why);
        self.settle();
    }

    /// A host has ended, or could not be started; `why` is for people. It is called once for each
    /// [`Effect::StartChild`](super::Effect::StartChild).
    pub fn child_ended(&mut self, id: ChildId, why: &str) {
        self.neighbours.child_ended(id, why);
        self.settle();
    }

    /// Answers a command with the reply's bytes, or refuses it. A peer that is gone is no error.
    pub fn answer_command(&mut self, request: Handle, reply: Result<&[u8], Reason>) {
        self.do_answer_command(request, reply);
        self.settle();
    }

    /// Tells the time, which never goes back, and does what it asks for.
    pub fn tick(&mut self, now: Duration) {
        self.do_tick(now);
        self.settle();
    }

    /// Begins to end in order: no new channels and links, goodbye to each peer. Plugins are stopped
    /// by the shell, before this call.
    pub fn stop(&mut self, reason: &Reason) {
        self.do_stop(reason);
        self.settle();
    }

    /// Adds a peer, and dials it if its address is known.
    pub fn add_peer(&mut self, config: PeerConfig) -> PeerId {
        self.neighbours.add_peer(Vec::new(), config, &mut self.effects)
    }

    /// Adds a host, and asks the shell to start it.
    pub fn add_child(&mut self, config: ChildConfig) -> ChildId {
        self.neighbours.add_child(config, &mut self.effects)
    }

    /// Where this server can be reached, as the shell found out; the best place first.
    pub fn set_addresses(&mut self, addresses: Vec<Endpoint>) {
        self.neighbours.set_addresses(addresses);
    }

    /// The addresses of this server that reach at least so far.
    pub fn addresses(&self, least: Scope) -> impl Iterator<Item = &Endpoint> {
        self.neighbours.addresses(least)
    }

    /// A host's connection to its server, while the link is up.
    pub fn uplink_conn(&self) -> Option<ConnId> {
        self.neighbours.uplink()
    }

    /// Whether one more connection with these grants may be accepted now. If not, it waits in the
    /// listener's queue. One over our unix sockets is let in although strangers crowd us;
    /// and of strangers, those that have said nothing make room for others.
    pub fn accepts(&self, grants: Grants) -> bool {
        self.neighbours.accepts(grants, |id| self.switch.has_spoken(id))
    }

    /// The connection that makes room for the next stranger: of those that have proved nothing,
    /// where there are as many as may be, the oldest that has said nothing. What it said may have
    /// come unread, so the shell reads it first.
    pub fn first_to_go(&self) -> Option<ConnId> {
        self.neighbours.first_to_go(|id| self.switch.has_spoken(id))
    }

    /// Whether the socket of a connection has to be tried although it was full. Once for each
    /// deadline.
    pub fn tries_socket(&mut self, id: ConnId) -> bool {
        self.switch.tries_socket(id)
    }

    /// Whether a connection only waits for its outbox to be written.
    pub fn is_ending(&self, id: ConnId) -> bool {
        self.switch.is_ending(id)
    }
}
