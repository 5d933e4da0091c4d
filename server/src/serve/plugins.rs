//! The plugins of this process: starting them, telling them, and what happens when one fails.

use super::convert;
use super::plugin_host::{PluginHost, Shared, link_change};
use crate::config::{self, Config};
use crate::loader;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use trunkline_core::broker::Handle;
use trunkline_core::broker::{Expose, Permission, PluginConfig, PluginId, Told};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::reason::Reason;
use trunkline_plugin::host::{Failure, Instance, Module, StartError};
use trunkline_plugin::{About, Answer, Caller, Channel, Readiness, Timer, Watch};

/// A plugin that runs.
struct Runner {
    instance: Instance,
    host: Rc<PluginHost>,
}

/// All plugins that run.
pub(super) struct Plugins {
    shared: Rc<Shared>,
    home: Key,
    running: BTreeMap<PluginId, Runner>,
}

impl Plugins {
    pub(super) fn new(shared: Rc<Shared>, home: Key) -> Plugins {
        Plugins { shared, home, running: BTreeMap::new() }
    }

    /// Loads and starts all plugins of a configuration. One that fails does not keep the others
    /// from starting, unless it is required.
    pub(super) fn start_all(&mut self, config: &Config) -> Result<(), String> {
        for plugin in &config.plugins {
            let Err(why) = self.load_and_start(plugin) else { continue };
            let line = format!("{}:{}: {why}", config.file.display(), plugin.line);
            match plugin.required {
                config::Required::Yes => return Err(line),
                config::Required::No => log::error!("{line}"),
            }
        }
        Ok(())
    }

    fn load_and_start(&mut self, plugin: &config::PluginConfig) -> Result<(), String> {
        let module =
            loader::load(&plugin.path, plugin.sha256).map_err(|error| error.to_string())?;
        let built_in = module.about().name().parse();
        let built_in = built_in.map_err(|error| format!("its built-in name: {error}"))?;
        let name = plugin.name.clone().unwrap_or(built_in);
        let expose = match &plugin.expose {
            config::Expose::Local => Expose::Local,
            config::Expose::Peers => Expose::Peers,
            config::Expose::Keys(keys) => Expose::Keys(keys.clone()),
        };
        let version = module.about().version();
        let (uses, invites) = partners(module.about());
        let allow = plugin.allow.iter().map(|what| match what {
            config::Permission::Links => Permission::Links,
        });
        let allow = allow.collect();
        let described = PluginConfig { name: name.clone(), version, expose, uses, invites, allow };
        let added = self.shared.broker.borrow_mut().add_plugin(described);
        let id = added.map_err(|reason| format!("{}: {reason}", plugin.path.display()))?;
        let host = Rc::new(PluginHost {
            plugin: id,
            name,
            shared: self.shared.clone(),
            misuse: RefCell::new(None),
        });
        self.start(&module, host, &plugin.config_json)
    }

    fn start(&mut self, module: &Module, host: Rc<PluginHost>, config: &str) -> Result<(), String> {
        let id = host.plugin;
        match module.create(host.clone(), config) {
            Ok(instance) => {
                log::info!("plugin {} {} runs", host.name, module.about().version());
                self.running.insert(id, Runner { instance, host: host.clone() });
                self.shared.broker.borrow_mut().plugin_started(id);
                self.check_misuse(id);
                Ok(())
            }
            Err(error) => {
                let why = match &error {
                    StartError::Refused(reason) => format!("it does not start: {reason}"),
                    StartError::Failed(failure) => failure.to_string(),
                };
                self.shared.watches.borrow_mut().remove_all_of(id);
                self.shared.broker.borrow_mut().plugin_failed(id, &why);
                Err(format!("plugin {}: {why}", host.name))
            }
        }
    }

    /// Tells a plugin something that the broker wants it to know.
    pub(super) fn tell(&mut self, id: PluginId, told: Told) {
        match told {
            Told::Open(handle, caller) => self.open(id, handle, &caller),
            Told::Opened(handle) => self.run(id, |plugin| plugin.opened(channel(handle))),
            Told::Credit(handle) => {
                let room = self.shared.broker.borrow_mut().room(id, handle);
                self.run(id, |plugin| plugin.credit(channel(handle), room));
            }
            Told::Deliver(handle) => {
                let bytes = self.shared.broker.borrow_mut().take_inbox(id, handle);
                self.write(id, handle, &bytes);
            }
            Told::Close(handle) => self.run(id, |plugin| plugin.close(channel(handle))),
            Told::StopRead(handle) => self.run(id, |plugin| plugin.stop_read(channel(handle))),
            Told::Ended(handle, why) => {
                let why = why.as_ref().map(convert::to_plugin);
                self.run(id, |plugin| plugin.ended(channel(handle), why.as_ref()));
            }
            Told::Directory(change) => {
                let change = convert::change(&change, self.home);
                self.run(id, |plugin| plugin.directory(&change));
            }
            Told::Link(change) => {
                let change = link_change(&change);
                self.run(id, |plugin| plugin.link(&change));
            }
            Told::Timer(timer) => self.run(id, |plugin| plugin.timer(Timer::new(timer))),
        }
    }

    /// Tells a plugin bytes; when it returns, they count as consumed unless it holds the channel.
    pub(super) fn write(&mut self, id: PluginId, handle: Handle, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.run(id, |plugin| plugin.write(channel(handle), bytes));
        }
        self.shared.broker.borrow_mut().consumed(id, handle, bytes.len());
    }

    pub(super) fn ready(&mut self, watch: u64, readiness: Readiness) {
        let owner = self.shared.watches.borrow().owner(watch);
        if let Some(id) = owner {
            self.run(id, |plugin| plugin.ready(Watch::new(watch), readiness));
        }
    }

    pub(super) fn wake(&mut self, id: PluginId) {
        self.run(id, Instance::wake);
    }

    /// Tells all plugins to stop, the last one first, and drops them.
    pub(super) fn stop_all(&mut self) {
        while let Some(id) = self.running.keys().next_back().copied() {
            self.run(id, Instance::stop);
            self.running.remove(&id);
            self.shared.watches.borrow_mut().remove_all_of(id);
            self.shared.broker.borrow_mut().plugin_stopped(id);
        }
    }

    fn open(&mut self, id: PluginId, handle: Handle, caller: &trunkline_core::broker::Caller) {
        let local = caller.server == self.home;
        let name = caller.name.as_str();
        let key = trunkline_plugin::Key(caller.server.0);
        let caller = Caller { name, version: caller.version, server: key, local };
        let Some(runner) = self.running.get_mut(&id) else { return };
        match runner.instance.open(channel(handle), &caller) {
            Ok(Answer::Later) => {}
            Ok(Answer::Accept) => self.answer(id, |broker| broker.accept(id, handle)),
            Ok(Answer::Refuse(why)) => {
                let why: Reason = convert::from_plugin(&why);
                self.answer(id, |broker| broker.refuse(id, handle, why));
            }
            Err(failure) => self.fail(id, &failure),
        }
        self.check_misuse(id);
    }

    fn answer(
        &mut self,
        id: PluginId,
        answer: impl FnOnce(
            &mut trunkline_core::broker::Broker,
        ) -> Result<(), trunkline_core::broker::Misuse>,
    ) {
        let answered = answer(&mut self.shared.broker.borrow_mut());
        if let Err(misuse) = answered {
            self.fail(id, &Failure::Misused(misuse.to_string()));
        }
    }

    fn run(&mut self, id: PluginId, callback: impl FnOnce(&mut Instance) -> Result<(), Failure>) {
        let Some(runner) = self.running.get_mut(&id) else { return };
        if let Err(failure) = callback(&mut runner.instance) {
            self.fail(id, &failure);
        }
        self.check_misuse(id);
    }

    fn check_misuse(&mut self, id: PluginId) {
        let Some(runner) = self.running.get(&id) else { return };
        let misuse = runner.host.misuse.borrow_mut().take();
        if let Some(misuse) = misuse {
            self.fail(id, &Failure::Misused(misuse));
        }
    }

    /// Takes a plugin out that broke the contract; all others keep running.
    fn fail(&mut self, id: PluginId, failure: &Failure) {
        let Some(runner) = self.running.remove(&id) else { return };
        log::error!("plugin {} failed: {failure}", runner.host.name);
        drop(runner.instance);
        self.shared.watches.borrow_mut().remove_all_of(id);
        self.shared.broker.borrow_mut().plugin_failed(id, &failure.to_string());
    }
}

fn channel(handle: Handle) -> Channel {
    Channel::new(handle.0)
}

/// The plugins that one uses and invites. Their names were checked when it was compiled.
fn partners(about: &About) -> (Vec<(Name, u64)>, Vec<Name>) {
    let uses = about.used().iter().filter_map(|used| Some((used.name.parse().ok()?, used.version)));
    let invites = about.invited().iter().filter_map(|name| name.parse().ok());
    (uses.collect(), invites.collect())
}
