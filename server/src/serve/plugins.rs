//! The plugins of this process: starting them, telling them, and what happens when one fails.

use super::convert;
use super::plugin_host::{PluginHost, Shared, link_change};
use super::watchdog::Watchdog;
use crate::config;
use crate::loader;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use trunkline_core::broker::Handle;
use trunkline_core::broker::{Expose, Permission, PluginConfig, PluginId, Told};
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
    /// The file that names them, for messages.
    file: PathBuf,
    running: BTreeMap<PluginId, Runner>,
    watchdog: Watchdog,
    /// Plugins that start when it is known who their server is.
    waiting: Vec<config::PluginConfig>,
    last_failure: Option<String>,
    /// Plugins that have started, and where they want direct connections.
    advertised: Vec<(PluginId, Vec<config::Advertise>)>,
}

impl Plugins {
    pub(super) fn new(shared: Rc<Shared>, file: PathBuf) -> Plugins {
        let watchdog = Watchdog::new(shared.broker.borrow().settings().limits.watchdog);
        let (running, waiting, advertised) = Default::default();
        Plugins { shared, file, running, watchdog, waiting, last_failure: None, advertised }
    }

    /// Who watches the calls to plugins.
    pub(super) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Keeps plugins until [`start_waiting`](Self::start_waiting).
    pub(super) fn wait(&mut self, plugins: Vec<config::PluginConfig>) {
        self.waiting = plugins;
    }

    /// Starts the plugins that waited.
    pub(super) fn start_waiting(&mut self) -> Result<(), String> {
        let plugins = std::mem::take(&mut self.waiting);
        self.start_all(plugins)
    }

    /// Loads and starts plugins. One that fails does not keep the others from starting, unless it
    /// is required.
    pub(super) fn start_all(&mut self, plugins: Vec<config::PluginConfig>) -> Result<(), String> {
        for plugin in plugins {
            let Err(why) = self.load_and_start(&plugin) else { continue };
            let line = format!("{}:{}: {why}", self.file.display(), plugin.line);
            match plugin.required {
                config::Required::Yes => return Err(line),
                config::Required::No => {
                    log::error!("{line}");
                    self.last_failure = Some(line);
                }
            }
        }
        Ok(())
    }

    fn load_and_start(&mut self, plugin: &config::PluginConfig) -> Result<(), String> {
        let module =
            loader::load(&plugin.path, plugin.sha256).map_err(|error| error.to_string())?;
        let described = describe(plugin, module.about())?;
        let name = described.name.clone();
        let added = self.shared.broker.borrow_mut().add_plugin(described);
        let id = added.map_err(|reason| format!("{}: {reason}", plugin.path.display()))?;
        let host = Rc::new(PluginHost {
            plugin: id,
            name,
            shared: self.shared.clone(),
            misuse: RefCell::new(None),
        });
        self.watchdog.watch(id, host.name.to_string(), plugin.blocked);
        self.start(&module, host, &plugin.config_json)?;
        if !plugin.advertise.is_empty() {
            self.advertised.push((id, plugin.advertise.clone()));
        }
        Ok(())
    }

    /// Plugins that have started since the last call, and where they want direct connections.
    pub(super) fn take_advertised(&mut self) -> Vec<(PluginId, Vec<config::Advertise>)> {
        std::mem::take(&mut self.advertised)
    }

    fn start(&mut self, module: &Module, host: Rc<PluginHost>, config: &str) -> Result<(), String> {
        let id = host.plugin;
        match self.watchdog.call(id, || module.create(host.clone(), config)) {
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
                let home = self.shared.broker.borrow().home().0;
                let change = convert::change(&change, home);
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
            let removed = self.running.remove(&id);
            self.watchdog.call(id, || drop(removed));
            self.shared.watches.borrow_mut().remove_all_of(id);
            self.shared.broker.borrow_mut().plugin_stopped(id);
        }
    }

    fn open(&mut self, id: PluginId, handle: Handle, caller: &trunkline_core::broker::Caller) {
        let local = caller.server == self.shared.broker.borrow().home().0;
        let name = caller.name.as_str();
        let key = trunkline_plugin::Key(caller.server.0);
        let caller = Caller { name, version: caller.version, server: key, local };
        let Some(runner) = self.running.get_mut(&id) else { return };
        match self.watchdog.call(id, || runner.instance.open(channel(handle), &caller)) {
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
        if let Err(failure) = self.watchdog.call(id, || callback(&mut runner.instance)) {
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

    /// Takes a plugin out that its server does not take.
    pub(super) fn reject(&mut self, id: PluginId, reason: &Reason) {
        self.run(id, Instance::stop);
        self.fail(id, &Failure::Misused(reason.to_string()));
    }

    /// Why the last plugin that failed did.
    pub(super) fn last_failure(&self) -> Option<String> {
        self.last_failure.clone()
    }

    /// Whether no plugin runs, and none is waiting to be started.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Takes a plugin out that broke the contract; all others keep running.
    fn fail(&mut self, id: PluginId, failure: &Failure) {
        let Some(runner) = self.running.remove(&id) else { return };
        log::error!("plugin {} failed: {failure}", runner.host.name);
        self.last_failure = Some(failure.to_string());
        self.watchdog.call(id, || drop(runner.instance));
        self.shared.watches.borrow_mut().remove_all_of(id);
        self.shared.broker.borrow_mut().plugin_failed(id, &failure.to_string());
    }
}

fn channel(handle: Handle) -> Channel {
    Channel::new(handle.0)
}

/// What the broker has to know of a plugin: what its file says, and what its configuration says.
fn describe(plugin: &config::PluginConfig, about: &About) -> Result<PluginConfig, String> {
    let built_in = about.name().parse().map_err(|error| format!("its built-in name: {error}"))?;
    let expose = match &plugin.expose {
        config::Expose::Local => Expose::Local,
        config::Expose::Peers => Expose::Peers,
        config::Expose::Keys(keys) => Expose::Keys(keys.clone()),
    };
    // Names of others were checked when the plugin was compiled.
    let uses = about.used().iter().filter_map(|used| Some((used.name.parse().ok()?, used.version)));
    let invites = about.invited().iter().filter_map(|name| name.parse().ok());
    let allow = plugin.allow.iter().map(|what| match what {
        config::Permission::Links => Permission::Links,
    });
    Ok(PluginConfig {
        name: plugin.name.clone().unwrap_or(built_in),
        version: about.version(),
        expose,
        uses: uses.collect(),
        invites: invites.collect(),
        allow: allow.collect(),
    })
}
