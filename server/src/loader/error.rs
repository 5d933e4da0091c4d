//! Why a plugin's file cannot be loaded: one line for each cause.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file that could not be loaded, and why.
///
/// It is shown as one line: file, what is wrong, what to do.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a plugin's file.
#[derive(Debug)]
pub enum Problem {
    /// There is no such file.
    Missing,
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It is a folder.
    Folder,
    /// It is a device, a pipe or a socket, or larger than 1 GiB.
    NotAFile,
    /// It does not have the hash that the configuration asks for.
    Hash {
        /// The hash in the configuration.
        expected: [u8; 32],
        /// The hash of the file.
        found: [u8; 32],
    },
    /// It is empty.
    Empty,
    /// It is not an ELF file.
    NotElf,
    /// It is an ELF file, but not a shared library.
    NotShared,
    /// It is for another kind of machine.
    Machine {
        /// This machine's kind.
        expected: &'static str,
        /// The file's kind.
        found: String,
    },
    /// Its end is missing.
    Truncated {
        /// The least length that its headers ask for, in bytes.
        expected: u64,
        /// Its length in bytes.
        found: u64,
    },
    /// There is not enough memory for it.
    Copy(io::Error),
    /// The dynamic linker refuses it, with this error.
    Open(String),
    /// The same, for a file that asks for libraries in its own folder.
    Origin(String),
    /// It exports no plugin.
    NotAPlugin,
    /// It is built with another release of the layout checks.
    Checks,
    /// It is built for an API that this server does not have.
    Api {
        /// The server's version of the API.
        expected: String,
        /// The plugin's.
        found: String,
    },
    /// It claims to be built for the same API, but a type differs.
    Layout {
        /// The field or function, as a path from the table.
        place: String,
        /// What the server has there.
        expected: String,
        /// What the plugin has there.
        found: String,
    },
    /// It is a plugin that the server cannot run: one sentence.
    Refused(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => {
                write!(f, "it cannot be read ({error}); check its permissions")
            }
            Self::Hash { expected, found } => {
                let (expected, found) = (Hex(expected), Hex(found));
                write!(f, "its SHA-256 is {found}, not {expected}; ")?;
                f.write_str("correct `sha256` if the file is the right one")
            }
            Self::Machine { expected, found } => {
                write!(f, "it is built for {found}, but this machine is {expected}; ")?;
                f.write_str("build it for this machine")
            }
            Self::Truncated { expected, found } => {
                write!(f, "it is incomplete: it has {found} bytes of at least {expected}; ")?;
                f.write_str("copy or build it again")
            }
            Self::Copy(error) => {
                write!(f, "it cannot be copied to memory ({error}); free some memory")
            }
            Self::Open(cause) => {
                write!(f, "the dynamic linker refuses it: {cause}; build it again")
            }
            Self::Origin(cause) => {
                write!(
                    f,
                    "the dynamic linker refuses it: {cause}; plugins are loaded from memory, "
                )?;
                f.write_str(
                    "so $ORIGIN in its RUNPATH is not its folder: \
                     build it with an absolute RUNPATH, or set LD_LIBRARY_PATH",
                )
            }
            Self::Api { expected, found } => {
                write!(f, "it is built for plugin API {found}, but this server has {expected}; ")?;
                write!(f, "build it with trunkline-plugin {expected}")
            }
            Self::Layout { place, expected, found } => {
                write!(
                    f,
                    "its plugin API differs at `{place}`: expected {expected}, found {found}; "
                )?;
                f.write_str("build it with an unchanged trunkline-plugin")
            }
            Self::Refused(why) => f.write_str(why),
            Self::Missing => {
                f.write_str("there is no such file; build the plugin, or correct `path`")
            }
            Self::Folder => f.write_str("it is a folder; name the plugin's .so file in it"),
            Self::NotAFile => {
                f.write_str("it is not a plain file of at most 1 GiB; name a .so file")
            }
            Self::Empty => f.write_str("it is empty; copy or build it again"),
            Self::NotElf => f.write_str("it is not a shared library; name a plugin's .so file"),
            Self::NotShared => {
                f.write_str("it is an ELF file, but not a shared library; build it as a `cdylib`")
            }
            Self::NotAPlugin => f.write_str(
                "it is a shared library but no Trunkline plugin; \
                 end it with `trunkline_plugin::export_plugin!`",
            ),
            Self::Checks => f.write_str(
                "it is built with another release of abi_stable; \
                 build it with an unchanged trunkline-plugin",
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
