//! The log of a server or of a host. Nothing that logs or prints waits for its reader: if that does
//! not read, lines are dropped and counted.
//!
//! `levels.rs` decides which records are logged, `accounts.rs` how many of each plugin. Records go
//! into a ring for later readers (`ring.rs`) and a bounded queue (`queue.rs`). From the queue one
//! thread (`writer.rs`) writes to stderr or to the journal (`outlet.rs`). Descriptors 1 and 2 are
//! made a pipe, so that another thread (`reader.rs`) reads what plugins print, and what the
//! processes of plugins print and log.

mod accounts;
mod entry;
mod format;
mod journal;
mod last_words;
mod levels;
mod lines;
mod outlet;
mod queue;
mod reader;
mod ring;
mod stderr;
mod time;
mod writer;

use crate::config::{LogConfig, LogFormat, LogTarget, Placement, PluginConfig};
use accounts::Accounts;
use entry::Entry;
use format::Format;
use journal::Journal;
use levels::Levels;
use log::{LevelFilter, Log, Metadata, Record};
use outlet::Outlet;
use queue::{Queue, Share};
use reader::{Reader, Source};
use ring::Ring;
use std::io::{self, PipeWriter};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long the end of a process may wait for the reader of its log.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The beginning of the targets of plugins.
const PLUGIN: &str = "plugin::";

/// The beginning of the targets of the hosts that run in processes of their own.
const HOST: &str = "host::";

/// The target of what is printed by a plugin that is not known, and by programs that it started.
const PRINTED: &str = "printed";

/// Whose log it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of a server, or of a host that was started by hand.
    OwnProcess,
    /// That of a host that a server started: the server reads its stderr.
    Child,
}

/// The log of this process.
static LOG: OnceLock<Shared> = OnceLock::new();

struct Shared {
    levels: RwLock<Levels>,
    queue: Queue,
    /// `None` in a child, whose server keeps its records.
    ring: Option<Mutex<Ring>>,
    accounts: Mutex<Accounts>,
    reader: Reader,
    printer: Mutex<Printer>,
    is_terminal: bool,
    begun: Instant,
}

/// The plugin that prints on the descriptors of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Printer {
    /// It is not known: several run here, or none.
    #[default]
    Unknown,
    /// One will run here, of which the name is not known yet.
    Unnamed,
    Known(String),
}

/// Starts the log of this process, as text on stderr, at the level of `RUST_LOG` or `info`. From
/// now on, what is printed is logged too, except in a child, whose server does that.
pub(crate) fn start(whose: Whose) -> Result<(), String> {
    let failed = |error: io::Error| format!("the log cannot start: {error}");
    let sink = stderr::Sink::open().map_err(failed)?;
    let (is_terminal, stderr) = (sink.is_terminal(), sink.copy().map_err(failed)?);
    let (format, ring) = match whose {
        Whose::OwnProcess => {
            (Format::configured(LogFormat::Text, is_terminal), Some(Mutex::default()))
        }
        Whose::Child => (Format::Frames, None),
    };
    let (queue, sink) = Queue::new(sink, Outlet::Stderr(format));
    let (levels, accounts, printer) =
        (Levels::of_environment(), Mutex::default(), Mutex::default());
    let (levels, reader) = (RwLock::new(levels), Reader::new().map_err(failed)?);
    let begun = Instant::now();
    let shared = Shared { levels, queue, ring, accounts, reader, printer, is_terminal, begun };
    let shared = LOG.get_or_init(|| shared);
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("log-writer").spawn(move || writer::run(&shared.queue, &sink)).map_err(failed)?;
    thread("log-reader").spawn(|| shared.reader.run(shared)).map_err(failed)?;
    if whose == Whose::OwnProcess {
        let ours = stderr::redirect_prints().map_err(failed)?;
        last_words::keep(&ours, stderr).map_err(failed)?;
        shared.reader.add(ours, Source::Printed).map_err(failed)?;
    }
    if log::set_logger(shared).is_ok() {
        shared.set_levels(|_| ());
    }
    Ok(())
}

/// Has the log written as the configuration says, for a process with these plugins. Called before
/// any of them is loaded. An error is why its target cannot be opened.
pub(crate) fn configure(config: &LogConfig, plugins: &[PluginConfig]) -> Result<(), String> {
    let Some(shared) = LOG.get() else { return Ok(()) };
    let outlet = match &config.target {
        LogTarget::Stderr(format) => {
            Outlet::Stderr(Format::configured(*format, shared.is_terminal))
        }
        LogTarget::Journald(socket) => {
            let journal = Journal::open(socket).map_err(|error| {
                format!(
                    "[log]: journald cannot be reached at {}: {error}; start it, or write \
                     `target = \"stderr\"`",
                    socket.display()
                )
            })?;
            Outlet::Journal(Arc::new(journal))
        }
    };
    shared.queue.set_outlet(outlet);
    let own = plugins.iter().filter_map(|plugin| plugin.log);
    let most = own.max().unwrap_or(LevelFilter::Off);
    shared.set_levels(|levels| levels.set(config.level, most));
    let here = |plugin: &&PluginConfig| plugin.placement != Placement::Process;
    if plugins.iter().filter(here).count() == 1 {
        *locked(&shared.printer) = Printer::Unnamed;
    }
    Ok(())
}

/// Sets the level of a child, which runs one plugin.
pub(crate) fn set_level(level: Option<LevelFilter>) {
    if let (Some(shared), Some(level)) = (LOG.get(), level) {
        shared.set_levels(|levels| levels.set(level, level));
    }
}

/// A plugin of this process is about to run, under this name and at this level.
pub(crate) fn plugin_runs_here(name: &str, level: Option<LevelFilter>) {
    let Some(shared) = LOG.get() else { return };
    shared.set_levels(|levels| levels.set_of(name, level));
    let mut printer = locked(&shared.printer);
    if *printer == Printer::Unnamed {
        *printer = Printer::Known(name.to_owned());
    }
}

/// A plugin is about to run in a process of its own, under this name. Returns its level, also if
/// that is the general one.
pub(crate) fn plugin_runs_elsewhere(name: &str, level: Option<LevelFilter>) -> Option<LevelFilter> {
    let shared = LOG.get()?;
    shared.set_levels(|levels| levels.set_of(name, level));
    let levels = shared.levels.read().unwrap_or_else(PoisonError::into_inner);
    Some(levels.or_general(level))
}

/// Waits until everything that was logged and printed is written, for at most a second. The end of
/// a process does this.
pub(crate) fn finish() {
    if let Some(shared) = LOG.get() {
        shared.flush();
    }
}

/// Writes one line that is no record, such as an error of the command line.
pub(crate) fn plain_line(line: &str) {
    match LOG.get() {
        Some(shared) => shared.queue.push(Arc::new(Entry::plain(line)), Share::Own),
        None => stderr::write_line(line),
    }
}

/// The latest records, from the one with this number on, one a line. `None` in a child, of which
/// the server keeps them.
pub(crate) fn latest(form: LogFormat, number: u64) -> Option<Vec<u8>> {
    let part = locked(LOG.get()?.ring.as_ref()?).since(number);
    let mut lines = Vec::new();
    for (number, record) in (part.first..).zip(&part.records) {
        match form {
            LogFormat::Json => format::write_json(Some(number), record, &mut lines),
            LogFormat::Text => Format::Text { coloured: false }.write(record, &mut lines),
        }
    }
    Some(lines)
}

/// A pipe for the output of this plugin's process. Its lines are logged with the plugin's name.
/// The pipe of an earlier process of the plugin is closed.
pub(crate) fn output_of(plugin: &str) -> io::Result<PipeWriter> {
    let shared = LOG.get().ok_or_else(|| io::Error::other("there is no log"))?;
    let (reader, writer) = io::pipe()?;
    shared.reader.add(reader.into(), Source::Plugin(plugin.into()))?;
    Ok(writer)
}

impl Shared {
    fn set_levels(&self, change: impl FnOnce(&mut Levels)) {
        let mut levels = self.levels.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut levels);
        log::set_max_level(levels.max());
    }

    /// Logs a line.
    fn admit(&self, entry: Entry, share: Share) {
        let entry = Arc::new(entry);
        if let Some(ring) = &self.ring {
            locked(ring).push(entry.clone());
        }
        self.queue.push(entry, share);
    }

    /// Logs a line that was printed, or that a plugin's process wrote.
    fn admit_line(&self, source: &str, entry: Entry) {
        let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
        let admitted = levels.admit_line(entry.level(), &entry.target);
        drop(levels);
        if admitted {
            self.budgeted(source, entry);
        }
    }

    /// The target of what is printed on the descriptors of this process.
    fn target_of_prints(&self) -> String {
        match &*locked(&self.printer) {
            Printer::Known(name) => format!("{PLUGIN}{name}"),
            Printer::Unknown | Printer::Unnamed => PRINTED.to_owned(),
        }
    }

    /// Logs a line of a source that has a budget.
    fn budgeted(&self, source: &str, entry: Entry) {
        let verdict = locked(&self.accounts).admit(source, entry.cost(), self.begun.elapsed());
        match verdict {
            accounts::Verdict::Admitted => self.admit(entry, Share::Others),
            accounts::Verdict::FirstDropped => self.reader.wake(),
            accounts::Verdict::Dropped => {}
        }
    }

    /// Says of which sources lines were dropped, if that is due. Returns when the next is due.
    fn say_dropped(&self) -> Option<Duration> {
        let now = self.begun.elapsed();
        let mut accounts = locked(&self.accounts);
        let (due, next) = (accounts.due(now), accounts.deadline());
        drop(accounts);
        for (source, count) in due {
            self.admit(Entry::over_budget(&source, count), Share::Own);
        }
        next.map(|at| at.saturating_sub(now))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Shared {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.read().unwrap_or_else(PoisonError::into_inner).enable(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let levels = self.levels.read().unwrap_or_else(PoisonError::into_inner);
        let admitted = levels.admit(record);
        drop(levels);
        if !admitted {
            return;
        }
        let entry = Entry::new(record.level(), record.target(), record.args());
        match record.target().starts_with(PLUGIN) {
            true => self.budgeted(record.target(), entry),
            false => self.admit(entry, Share::Own),
        }
    }

    fn flush(&self) {
        let end = Instant::now() + FLUSH_TIME;
        self.reader.drain(end);
        self.queue.wait_until_written(end);
    }
}
