//! Loads and starts the plugins of this process. Those that run are in `runners.rs`.

use super::plugin_folders::PluginFolders;
use super::plugin_host::PluginHost;
use super::runners::PluginInfo;
use super::setup::name_of;
use super::shared::Shared;
use crate::config;
use crate::loader::{self, Image, LoadError};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use trunkline_core::broker::{PluginConfig, PluginId};
use trunkline_core::name::Name;
use trunkline_plugin::About;
use trunkline_plugin::host::{Module, StartError};

/// The plugins that this process is to run.
pub(super) struct Plugins {
    shared: Rc<Shared>,
    /// The file that names them, for messages.
    file: PathBuf,
    folders: Rc<PluginFolders>,
    /// The file of the one plugin of a confined process, which cannot read it now.
    image: RefCell<Option<Result<Image, LoadError>>>,
    /// Plugins of a host, which start when the link to its server is up.
    waiting: Vec<config::PluginConfig>,
    /// Plugins that have started, and where they listen for direct connections.
    advertised: Vec<(PluginId, Vec<config::Advertise>)>,
}

impl Plugins {
    pub(super) fn new(
        shared: Rc<Shared>,
        file: PathBuf,
        folders: PluginFolders,
        image: Option<Result<Image, LoadError>>,
    ) -> Plugins {
        let (folders, image) = (Rc::new(folders), RefCell::new(image));
        let (waiting, advertised) = (Vec::new(), Vec::new());
        Plugins { shared, file, folders, image, waiting, advertised }
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

    /// Loads and starts plugins. If one fails, the others start nevertheless, unless it is
    /// required.
    pub(super) fn start_all(&mut self, plugins: Vec<config::PluginConfig>) -> Result<(), String> {
        for plugin in plugins {
            let Err(why) = self.load_and_start(&plugin) else { continue };
            let line = format!("{}:{}: {why}", self.file.display(), plugin.line);
            match plugin.required {
                config::Required::Yes => return Err(line),
                config::Required::No => {
                    log::error!("{line}");
                    self.shared.runners.note_failure(line);
                }
            }
        }
        Ok(())
    }

    fn load_and_start(&mut self, plugin: &config::PluginConfig) -> Result<(), String> {
        let added = self.add(plugin);
        let (module, id, name) = added.inspect_err(|why| {
            self.shared.broker.borrow_mut().plugin_not_loaded(name_of(plugin), why);
        })?;
        self.shared.runners.watchdog().watch(id, name.to_string(), plugin.blocked);
        let (version, misuse) = (module.about().version(), RefCell::new(None));
        let info = Rc::new(PluginInfo { id, name, version, misuse });
        self.start(&module, info, &plugin.config_json)?;
        if !plugin.advertise.is_empty() {
            self.advertised.push((id, plugin.advertise.clone()));
        }
        Ok(())
    }

    /// Loads a plugin, and makes it known to the broker.
    fn add(&self, plugin: &config::PluginConfig) -> Result<(Module, PluginId, Name), String> {
        let load = || match self.image.take() {
            Some(image) => image.and_then(Image::load),
            None => loader::load(&plugin.path, plugin.sha256),
        };
        let loaded = self.shared.runners.watchdog().load(&plugin.path, load);
        let module = loaded.map_err(|error| error.to_string())?;
        let described = describe(plugin, module.about())?;
        let name = described.name.clone();
        crate::log::plugin_runs_here(name.as_str(), plugin.log);
        let added = self.shared.broker.borrow_mut().add_plugin(described);
        let id = added.map_err(|reason| format!("{}: {reason}", plugin.path.display()))?;
        Ok((module, id, name))
    }

    /// Plugins that have started since the last call, and where they listen for direct connections.
    pub(super) fn take_advertised(&mut self) -> Vec<(PluginId, Vec<config::Advertise>)> {
        std::mem::take(&mut self.advertised)
    }

    fn start(&mut self, module: &Module, info: Rc<PluginInfo>, config: &str) -> Result<(), String> {
        let id = info.id;
        let (shared, folders) = (self.shared.clone(), self.folders.clone());
        let host = Rc::new(PluginHost { info: info.clone(), shared, folders });
        let watchdog = self.shared.runners.watchdog();
        match watchdog.call(id, || module.create(host, config)) {
            Ok(instance) => {
                log::info!("plugin {} {} runs", info.name, info.version);
                self.shared.add_started(instance, info);
                Ok(())
            }
            Err(error) => {
                let why = match &error {
                    StartError::Refused(reason) => format!("it refused to start: {reason}"),
                    StartError::Failed(failure) => failure.to_string(),
                };
                self.shared.watches.borrow_mut().remove_all_of(id);
                self.shared.broker.borrow_mut().plugin_failed(id, &why);
                Err(format!("plugin {}: {why}", info.name))
            }
        }
    }

    /// Whether no plugin runs or waits to be started.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.runners.is_empty() && self.waiting.is_empty()
    }
}

/// The broker's description of a plugin, from its file and its configuration.
fn describe(plugin: &config::PluginConfig, about: &About) -> Result<PluginConfig, String> {
    let built_in = about.name().parse().map_err(|error| format!("its built-in name: {error}"))?;
    // The plugin's compiler has checked these names.
    let uses = about.used().iter().filter_map(|used| Some((used.name.parse().ok()?, used.version)));
    let invites = about.invited().iter().filter_map(|name| name.parse().ok());
    Ok(PluginConfig {
        name: plugin.name.clone().unwrap_or(built_in),
        version: about.version(),
        expose: plugin.expose.clone(),
        uses: uses.collect(),
        invites: invites.collect(),
        allow: plugin.allow.clone(),
    })
}
