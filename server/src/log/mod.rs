//! The log of a server or of a host. Nothing that logs or prints waits for the reader of stderr: if
//! it does not read, lines are dropped and counted.
//!
//! Records go into a bounded queue (`queue.rs`), from which one thread writes to stderr
//! (`writer.rs`). Descriptors 1 and 2 become a pipe, so that another thread (`reader.rs`) reads
//! what plugins print, and what the processes of plugins print and log. `RUST_LOG` is read by
//! `env_logger`.

mod accounts;
mod entry;
mod lines;
mod queue;
mod reader;
mod stderr;
mod writer;

use accounts::Accounts;
use entry::{Entry, Format};
use log::{Log, Metadata, Record};
use queue::{Queue, Share};
use reader::{Reader, Source};
use std::io::{self, PipeWriter};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the end of a process may wait for the reader of its log.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The beginning of the targets of plugins.
const PLUGIN: &str = "plugin::";

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
    filter: env_logger::Logger,
    queue: Queue,
    accounts: Mutex<Accounts>,
    reader: Reader,
    begun: Instant,
}

/// Starts the log of this process, at the level of `RUST_LOG`. From now on, what is printed is
/// logged too, except in a child, whose server does that.
pub(crate) fn start(whose: Whose) -> Result<(), String> {
    let failed = |error: io::Error| format!("the log cannot start: {error}");
    let environment = env_logger::Env::default().default_filter_or("info");
    let filter = env_logger::Builder::from_env(environment).build();
    let level = filter.filter();
    let sink = stderr::Sink::open().map_err(failed)?;
    let format = match whose {
        Whose::OwnProcess => Format::for_people(sink.is_terminal()),
        Whose::Child => Format::Frames,
    };
    let (accounts, begun) = (Mutex::new(Accounts::default()), Instant::now());
    let reader = Reader::new().map_err(failed)?;
    let (queue, sink) = Queue::new(sink, format);
    let shared = Shared { filter, queue, accounts, reader, begun };
    let shared = LOG.get_or_init(|| shared);
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("log-writer").spawn(move || writer::run(&shared.queue, &sink)).map_err(failed)?;
    thread("log-reader").spawn(|| shared.reader.run(shared)).map_err(failed)?;
    if whose == Whose::OwnProcess {
        let ours = stderr::redirect_prints().map_err(failed)?;
        shared.reader.add(ours, Source::Printed).map_err(failed)?;
    }
    if log::set_logger(shared).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
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
        Some(shared) => shared.queue.push(Entry::plain(line), Share::Own),
        None => stderr::write_line(line),
    }
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
    /// Logs a line of a source that has a budget.
    fn budgeted(&self, source: &str, entry: Entry) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let first_dropped = accounts.admit(source, entry.cost(), self.begun.elapsed());
        drop(accounts);
        match first_dropped {
            accounts::Verdict::Admitted => self.queue.push(entry, Share::Others),
            accounts::Verdict::FirstDropped => self.reader.wake(),
            accounts::Verdict::Dropped => {}
        }
    }

    /// Says of which sources lines were dropped, if that is due. Returns when the next is due.
    fn say_dropped(&self) -> Option<Duration> {
        let now = self.begun.elapsed();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, next) = (accounts.due(now), accounts.deadline());
        drop(accounts);
        for (source, count) in due {
            self.queue.push(Entry::over_budget(&source, count), Share::Own);
        }
        next.map(|at| at.saturating_sub(now))
    }
}

impl Log for Shared {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let entry = Entry::new(record.level(), record.target(), record.args());
        match record.target().starts_with(PLUGIN) {
            true => self.budgeted(record.target(), entry),
            false => self.queue.push(entry, Share::Own),
        }
    }

    fn flush(&self) {
        let end = Instant::now() + FLUSH_TIME;
        self.reader.drain(end);
        self.queue.wait_until_written(end);
    }
}
