//! The process of a host that a server started, step by step: what it inherits, its bounds, its
//! loop. It has one thread until it is confined.

use super::children::{self, Inherited};
use super::event_loop::Loop;
use super::lineage::Lineage;
use super::own_end::ServerEnd;
use super::plugin_folders::{Data, PluginFolders};
use super::setup::{Confined, Setup, SignalHandling, name_of};
use super::socket::Stream;
use crate::config::{Confine, PluginConfig, Writable};
use crate::confine::{self, Kept, Report, Teller};
use crate::loader::Image;
use rustix::process::getppid;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A process that has received its spec.
pub(crate) struct Child {
    setup: Setup,
    stream: UnixStream,
    server: ServerEnd,
    plugin: PluginConfig,
    teller: Option<Teller>,
    /// Bounds that are not in force although they were asked for.
    lacking: Option<String>,
}

impl Child {
    /// Receives what the server hands over. An error says why this is no host of a server.
    pub(crate) fn inherit() -> Result<Child, String> {
        let Inherited { spec, stream, server, teller } = children::inherit()?;
        let plugin = spec.plugin.clone();
        let (signals, lineage) = (SignalHandling::Enabled, Lineage::of_host(getppid()));
        let mut setup = Setup { signals, lineage, ..Setup::of_spec(spec) };
        if plugin.confine.is_some() {
            // A confined process opens no sockets for others.
            setup.own_status = None;
        }
        Ok(Child { setup, stream, server, plugin, teller, lacking: None })
    }

    /// Confines this process, if it is to be confined. An error has been told to the server.
    pub(crate) fn confine(mut self) -> Result<Child, String> {
        let (Some(asked), Some(teller)) = (self.plugin.confine.clone(), self.teller.take()) else {
            return Ok(self);
        };
        let report = self.confined(&asked, &teller);
        let place = |why| format!("{}:{}: {why}", self.setup.file.display(), asked.line);
        let report = report.map_err(place);
        teller.tell(&report)?;
        self.lacking = report?.lacking();
        Ok(self)
    }

    fn confined(&mut self, asked: &Confine, teller: &Teller) -> Result<Report, String> {
        let image = Image::read(&self.plugin.path, self.plugin.sha256);
        let data = self.data(asked)?;
        let needed = [self.stream.as_fd(), teller.as_fd()];
        let image_fd = image.as_ref().ok().map(Image::as_fd);
        let files: Vec<BorrowedFd<'_>> =
            needed.into_iter().chain(image_fd).chain(self.server.as_fd()).collect();
        let folder = match &data {
            Data::Of(_, folder) => Some(folder.as_path()),
            Data::In(_) | Data::Nowhere | Data::Refused => None,
        };
        let plugin = name_of(&self.plugin);
        let kept = Kept { plugin: plugin.as_str(), data: folder, files: &files };
        let report = confine::confine(asked, &kept);
        self.setup.confined = Some(Confined { image, data });
        report
    }

    /// The data folder of the plugin. Its name is not asked for, because its code does not run yet.
    fn data(&self, asked: &Confine) -> Result<Data, String> {
        let state = self.setup.state.as_ref().filter(|_| asked.write.contains(&Writable::Data));
        let Some(state) = state else { return Ok(Data::Refused) };
        let name = name_of(&self.plugin);
        let folders = PluginFolders::new(&self.setup.file, Data::In(state.clone()));
        let folders = folders.map_err(|error| error.to_string())?;
        Ok(Data::Of(name.clone(), folders.data_of(&name)?))
    }

    /// Runs the host. The outer error says why it did not start; the inner one, how it ended, has
    /// been logged.
    pub(crate) fn run(self) -> Result<Result<(), String>, String> {
        crate::log::set_level(self.plugin.log);
        let watched = self.server.watch();
        watched.map_err(|error| format!("the end of the server cannot be watched: {error}"))?;
        if let Some(lacking) = self.lacking {
            log::warn!("it is not confined as its [plugin.confine] asks: {lacking}");
        }
        let stream = Stream::Unix(mio::net::UnixStream::from_std(self.stream));
        Ok(Loop::start(Setup { uplink: Some(stream), ..self.setup })?.run())
    }
}
