//! The plugins of a fuzzed process, and what each does when it is told something.

use super::super::Script;
use std::collections::{BTreeMap, BTreeSet};
use trunkline_core::broker::{
    Broker, CallId, Called, Callee, CalleePlace, Handle, Misuse, Outcome, PluginId, Returned,
    Target, Told,
};
use trunkline_core::key::Key;
use trunkline_core::reason::Reason;

/// What a plugin knows of one of its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chan {
    /// The other end waits for an answer.
    pub(super) asked: bool,
    /// It gives credit itself.
    pub(super) held: bool,
}

/// A plugin that runs.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) kind: &'static str,
    /// Its channels, until it is told of their end or gives them up.
    pub(super) channels: BTreeMap<Handle, Chan>,
    /// Calls that it has not answered, and those that it waits for.
    pub(super) asked: Vec<CallId>,
    pub(super) made: BTreeSet<CallId>,
    /// Bytes that came on each channel that is read, and the last outcome of a call.
    pub(super) heard: BTreeMap<Handle, Vec<u8>>,
    pub(super) outcome: Option<Outcome>,
}

/// The outcome of a plugin's callback.
pub(super) type Ran = Result<(), Misuse>;

impl Plugin {
    pub(super) fn new(kind: &'static str) -> Plugin {
        Plugin {
            kind,
            channels: BTreeMap::new(),
            asked: Vec::new(),
            made: BTreeSet::new(),
            heard: BTreeMap::new(),
            outcome: None,
        }
    }

    /// Something is told, which the broker has kept until now.
    pub(super) fn tell(&mut self, id: PluginId, broker: &mut Broker, told: Told) -> Ran {
        match told {
            Told::Open(handle, _) => {
                let news = self.channels.insert(handle, Chan { asked: true, held: false });
                assert!(news.is_none(), "{handle:?} is opened twice");
                self.answer(id, broker, handle)?;
            }
            Told::Deliver(handle) => {
                let bytes = broker.take_inbox(id, handle);
                self.read(id, broker, handle, &bytes)?;
            }
            Told::Credit(handle) => {
                broker.room(id, handle);
            }
            Told::Ended(handle, _) => {
                self.channels.remove(&handle);
            }
            Told::Call(call, _, request) => self.called(id, broker, call, &request)?,
            Told::Cancelled(call) => self.asked.retain(|other| *other != call),
            Told::Reply(call, outcome) => {
                assert!(self.made.remove(&call), "{call:?} ends twice, or was never made");
                self.outcome = Some(outcome);
            }
            _ => {}
        }
        Ok(())
    }

    /// A channel to this plugin is opened.
    fn answer(&mut self, id: PluginId, broker: &mut Broker, handle: Handle) -> Ran {
        match self.kind {
            "late" => return Ok(()),
            "trap" => return Err(Misuse::NoSuchChannel),
            "x" => {
                self.channels.remove(&handle);
                return broker.refuse(id, handle, Reason::plugin("mine", "not now"));
            }
            _ => {}
        }
        if let Some(channel) = self.channels.get_mut(&handle) {
            channel.asked = false;
            channel.held = self.kind == "held";
        }
        match self.kind {
            "echo" => {
                broker.join(id, handle, handle)?;
                self.channels.remove(&handle);
            }
            "held" => broker.hold(id, handle)?,
            "joiner" => {
                let target = Target { name: super::name("echo"), least: 0, server: None };
                if let Ok(other) = broker.open(id, &target) {
                    broker.join(id, handle, other)?;
                    self.channels.remove(&handle);
                }
            }
            _ => {}
        }
        broker.accept(id, handle)
    }

    /// Bytes of a channel came.
    pub(super) fn read(
        &mut self,
        id: PluginId,
        broker: &mut Broker,
        handle: Handle,
        bytes: &[u8],
    ) -> Ran {
        if self.kind == "user" {
            broker.write(id, handle, &bytes[..bytes.len() / 2])?;
        }
        if let Some(heard) = self.heard.get_mut(&handle) {
            heard.extend_from_slice(bytes);
        }
        broker.consumed(id, handle, bytes.len());
        Ok(())
    }

    /// This plugin is called.
    fn called(&mut self, id: PluginId, broker: &mut Broker, call: CallId, request: &[u8]) -> Ran {
        match self.kind {
            "slow" | "late" => {
                self.asked.push(call);
                Ok(())
            }
            "trap" => Err(Misuse::NoSuchCall),
            "x" => broker.refuse_call(id, call, Reason::plugin("mine", "no")),
            _ => broker.answer_call(id, call, request),
        }
    }

    /// Opens a channel.
    pub(super) fn open(&mut self, id: PluginId, broker: &mut Broker, target: &Target) {
        if let Ok(handle) = broker.open(id, target) {
            let news = self.channels.insert(handle, Chan::default());
            assert!(news.is_none(), "{handle:?} is opened twice");
        }
    }

    /// One of its channels.
    pub(super) fn channel(&self, script: &mut Script<'_>) -> Option<Handle> {
        let handles: Vec<Handle> = self.channels.keys().copied().collect();
        (!handles.is_empty()).then(|| script.pick(&handles))
    }
}

/// Runs a call of one plugin, as the shell does: a callee of the same process is entered at once.
/// A plugin that breaks its contract in it is named.
pub(super) fn call(
    broker: &mut Broker,
    plugins: &mut BTreeMap<PluginId, Plugin>,
    caller: PluginId,
    (to, server): (&str, Option<Key>),
    request: &[u8],
) -> Result<(), PluginId> {
    let server = server.map(|key| key.to_string());
    let place = server.as_deref().map_or(CalleePlace::Anywhere, CalleePlace::Server);
    let callee = Callee { name: to.as_bytes(), least: 0, place, hint: None };
    let deadline = std::time::Duration::from_secs(20);
    let (outcome, made, failed) = match broker.call(caller, &callee, request, deadline) {
        Called::Over(outcome) => (Some(outcome), None, None),
        Called::Pending(call) => (None, Some(call), None),
        Called::Run(callee, call) => {
            let ran = plugins.get_mut(&callee).map(|p| p.called(callee, broker, call, request));
            let failed = matches!(ran, Some(Err(_))).then_some(callee);
            if failed.is_some() {
                broker.plugin_failed(callee, "it broke its contract in a call");
            }
            match broker.returned(call) {
                Returned::Answered(answer) => {
                    broker.reuse(answer.clone());
                    (Some(Outcome::Answered(answer)), None, failed)
                }
                Returned::Over(outcome) => (Some(outcome), None, failed),
                Returned::Pending(call) => (None, Some(call), failed),
            }
        }
    };
    if let Some(plugin) = plugins.get_mut(&caller) {
        plugin.made.extend(made);
        plugin.outcome = outcome.or(plugin.outcome.take().filter(|_| made.is_none()));
    }
    failed.map_or(Ok(()), Err)
}
