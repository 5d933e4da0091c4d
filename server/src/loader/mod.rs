//! Turns a plugin's file into a [`Module`], or into one line that says why it cannot.
//!
//! The steps: copy the file to sealed memory (`memfd`), so that it cannot change under its checks
//! or under a running plugin; check that it can be mapped (`elf`); open it; check API version and
//! type layout (`check`). None of its code runs before it is known to export a plugin.
//!
//! An opened file stays open forever. A plugin may have left threads and thread-locals behind, and
//! the C library would give a later file the code of an earlier one whose number it reuses. The
//! same file loaded twice is two modules, each with its own statics and its own log.

mod check;
mod elf;
mod error;
mod memfd;

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};
use trunkline_plugin::host::Module;

pub use error::{LoadError, Problem};
use memfd::Sealed;

/// The largest file of a plugin, in bytes. One with all debug information has tens of megabytes. A
/// larger file is not a plugin, and would fill the memory before that is noticed.
const LARGEST_FILE: u64 = 1 << 30;

/// Loads the plugin in this file; with `sha256`, only if its content has this hash.
///
/// The code stays in memory until the process ends: 0.3 to 0.8 MB for most plugins.
///
/// # Errors
///
/// One line that names the file, what is wrong with it and what to do.
pub fn load(path: &Path, sha256: Option<[u8; 32]>) -> Result<Module, LoadError> {
    Image::read(path, sha256)?.load()
}

/// A copy of a plugin's file that was checked as far as that is possible without running its code.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    copy: Sealed,
}

impl Image {
    /// Reads and checks a plugin's file, as [`load`] does.
    ///
    /// # Errors
    ///
    /// One line that names the file, what is wrong with it and what to do.
    pub fn read(path: &Path, sha256: Option<[u8; 32]>) -> Result<Image, LoadError> {
        let copy = checked_copy(path, sha256);
        let copy = copy.map_err(|problem| LoadError { path: path.into(), problem })?;
        Ok(Image { path: path.into(), copy })
    }

    /// The file in memory.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }

    /// Runs its initialisers. The file itself is not needed any more.
    ///
    /// # Errors
    ///
    /// One line that names the file, what is wrong with it and what to do.
    pub fn load(self) -> Result<Module, LoadError> {
        let Image { path, copy } = self;
        load_copy(copy).map_err(|problem| LoadError { path, problem })
    }
}

/// Opens the file itself and checks its layout, without the other steps of [`load`]: the benchmarks
/// compare `load` with this. Do not load a plugin with it.
///
/// # Errors
///
/// One line that names the file and what is wrong with it.
#[doc(hidden)]
pub fn open_unguarded(path: &Path) -> Result<(), LoadError> {
    // SAFETY: as in `open`.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| Problem::Open(cause(&error)));
    let checked = library.and_then(|library| check::module(Box::leak(Box::new(library))));
    checked.map(drop).map_err(|problem| LoadError { path: path.to_owned(), problem })
}

/// What of [`load`] concerns the bytes of a file alone: whether they can be mapped without harm,
/// and whether they export this name. Nothing is mapped. It is what fuzzing drives.
///
/// # Errors
///
/// What is wrong with them.
#[doc(hidden)]
pub fn check_content(content: &[u8], name: &str) -> Result<bool, Problem> {
    elf::check(content)?;
    Ok(elf::exports(content, name))
}

fn checked_copy(path: &Path, sha256: Option<[u8; 32]>) -> Result<Sealed, Problem> {
    let copy = copy(path)?;
    check_hash(copy.bytes(), sha256)?;
    match check_content(copy.bytes(), check::symbol())? {
        true => Ok(copy),
        false => Err(Problem::NotAPlugin),
    }
}

fn load_copy(copy: Sealed) -> Result<Module, Problem> {
    let beside = elf::looks_beside_itself(copy.bytes());
    let library = open(copy).map_err(|problem| match problem {
        Problem::Open(cause) if beside => Problem::Origin(cause),
        problem => problem,
    })?;
    let table = check::module(library)?;
    // SAFETY: the layout was checked, and `open` gives what is never closed.
    unsafe { Module::from_file(table) }.map_err(Problem::Refused)
}

/// Copies a plain file. Anything else might never end.
fn copy(path: &Path) -> Result<Sealed, Problem> {
    let metadata = fs::metadata(path).map_err(read_problem)?;
    if metadata.is_dir() {
        return Err(Problem::Folder);
    }
    if !metadata.is_file() || metadata.len() > LARGEST_FILE {
        return Err(Problem::NotAFile);
    }
    let file = File::open(path).map_err(read_problem)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Sealed::copy(name, file, LARGEST_FILE).map_err(Problem::Copy)
}

fn read_problem(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing,
        _ => Problem::Unreadable(error),
    }
}

fn check_hash(content: &[u8], expected: Option<[u8; 32]>) -> Result<(), Problem> {
    let Some(expected) = expected else { return Ok(()) };
    let found: [u8; 32] = Sha256::digest(content).into();
    if found == expected { Ok(()) } else { Err(Problem::Hash { expected, found }) }
}

/// Opens the copy, forever.
fn open(copy: Sealed) -> Result<&'static Library, Problem> {
    // SAFETY: this runs the file's initialisers. The file claims to be a plugin, and may do here
    // what a plugin may do in all its callbacks.
    let library = unsafe { Library::open(Some(copy.path()), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| Problem::Open(cause(&error)))?;
    copy.keep_forever();
    Ok(Box::leak(Box::new(library)))
}

/// The C library's error, without the path of the copy, which means nothing to the user.
fn cause(error: &libloading::Error) -> String {
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let said = text.strip_prefix("/proc/self/fd/").and_then(|rest| rest.split_once(": "));
    said.map_or(text.as_str(), |(_, what)| what).to_owned()
}
