//! The command line: its arguments and its exit codes. Each command has a file of its own.

mod check;
mod client;
mod explain;
mod health;
mod host;
mod key;
mod log;
mod run;
mod status;
mod status_answer;
mod stop;
mod table;
mod usage;

use crate::config::{LogFormat, Problem};
use clap::{Parser, Subcommand};
use status::{Form, Times};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use trunkline_core::printable::{Printable, is_unsafe};

/// A server whose whole function comes from native plugins.
#[derive(Parser)]
#[command(name = "trunkline", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server, in the foreground
    Run {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Runs plugins for a server on this or another machine
    #[command(group = clap::ArgGroup::new("what").required(true).args(["server", "config"]))]
    Host {
        /// The server's address
        #[arg(long, value_name = "ADDRESS", requires = "plugin")]
        server: Option<String>,
        /// The file with the host's secret key; the default is ./trunkline.key, and none over a
        /// unix socket
        #[arg(long, value_name = "FILE", requires = "server")]
        key: Option<PathBuf>,
        /// A plugin file to load; may be given several times
        #[arg(long, value_name = "FILE.so", num_args = 1.., requires = "server")]
        plugin: Vec<PathBuf>,
        /// The host's configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Validates a configuration or plugin files; starts nothing
    Check {
        /// The configuration file; the default is ./trunkline.toml if no plugin file is named
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Plugin files
        #[arg(value_name = "FILE.so")]
        plugins: Vec<PathBuf>,
    },
    /// Shows what a running server does
    Status {
        #[command(flatten)]
        server: Server,
        /// Prints JSON
        #[arg(long)]
        json: bool,
        /// Prints again each second, until SIGINT
        #[arg(long)]
        watch: bool,
        /// Only says whether all plugins run and all links with `keep = true` are up; if not, the
        /// exit code is 1
        #[arg(long, conflicts_with_all = ["json", "watch"])]
        check: bool,
    },
    /// Says why two plugins are, or are not, connected
    Explain {
        #[command(flatten)]
        server: Server,
        /// The plugin that opens the channel: NAME or NAME@SERVER
        from: String,
        /// The plugin that it opens the channel to: NAME or NAME@SERVER
        to: String,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints the latest lines of a running server's log
    Log {
        #[command(flatten)]
        server: Server,
        /// Prints a JSON object for each line
        #[arg(long)]
        json: bool,
        /// Begins with the line of this number, as --json shows them
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
    },
    /// Makes a secret key if there is none, prints its public key
    Key {
        /// The file with the secret key
        #[arg(value_name = "FILE", default_value = DEFAULT_KEY)]
        file: PathBuf,
    },
    /// Runs the host that a server starts; not for people
    #[command(hide = true)]
    Child {
        /// Names the server, for a later one that looks for what a killed server left
        server: Option<String>,
    },
    /// Stops a running server
    Stop {
        /// The server's configuration file
        #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
}

/// How to find a running server.
#[derive(clap::Args)]
struct Server {
    /// The server's configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG, conflicts_with = "server")]
    config: PathBuf,
    /// The address of the server's unix socket, such as unix:alpha.sock
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
}

const DEFAULT_CONFIG: &str = "trunkline.toml";
const DEFAULT_KEY: &str = "trunkline.key";

/// Why a command failed: the lines for stderr, each `what: why`.
#[derive(Debug)]
struct Failed(Vec<String>);

impl From<String> for Failed {
    fn from(line: String) -> Failed {
        Failed(vec![line])
    }
}

impl From<Vec<Problem>> for Failed {
    fn from(problems: Vec<Problem>) -> Failed {
        Failed(problems.iter().map(Problem::to_string).collect())
    }
}

/// Runs the command line of this process. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error),
    };
    let code = match command(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(lines)) => {
            for line in lines {
                print_error(&line);
            }
            ExitCode::from(1)
        }
    };
    crate::log::finish();
    code
}

fn command(command: Command) -> Result<(), Failed> {
    match command {
        Command::Run { config } => run::run(&config),
        Command::Check { config, plugins } => check::check(config.as_deref(), &plugins),
        Command::Status { server, check: true, .. } => status::check(&server),
        Command::Status { server, json, watch, .. } => {
            let form = if json { Form::Json } else { Form::Tables };
            let times = if watch { Times::UntilInterrupted } else { Times::Once };
            status::status(&server, form, times)
        }
        Command::Log { server, json, from } => {
            let form = if json { LogFormat::Json } else { LogFormat::Text };
            log::log(&server, form, from)
        }
        Command::Key { file } => key::key(&file),
        Command::Stop { config } => stop::stop(&config),
        Command::Host { server, key, plugin, config } => {
            host::host(server.as_deref(), key.as_deref(), &plugin, config.as_deref())
        }
        Command::Child { .. } => host::child(),
        Command::Explain { server, from, to, json } => {
            let form = if json { Form::Json } else { Form::Tables };
            explain::explain(&server, &from, &to, form)
        }
    }
}

/// Prints one line about an error. Line ends within it are replaced by spaces.
fn print_error(line: &str) {
    let line = line.replace('\n', " ");
    crate::log::plain_line(&format!("trunkline: {}", Printable(line)));
}

/// A server's answer that is JSON, for a terminal. Characters that control it are escaped, which
/// JSON itself does for some of them only.
fn printable_json(text: &str) -> String {
    let mut printable = String::with_capacity(text.len() + 1);
    for c in text.trim_end().chars() {
        match is_unsafe(c) && c != '\n' {
            true => printable.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => printable.push(c),
        }
    }
    printable.push('\n');
    printable
}

/// Whether what is printed is shown on a terminal.
fn prints_to_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints to stdout. A closed pipe, as of `head`, is not an error.
fn print(text: &str) -> Result<(), Failed> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed::from(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}
