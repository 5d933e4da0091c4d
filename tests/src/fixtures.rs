//! Builds the plugins that tests need: broken ones, and some for another version of the API.
//!
//! A build copies the plugin API and the fixtures into a workspace of its own below `target`,
//! edits the text of the API where the fixture wants another one, and runs cargo without the
//! network. It is done once for each state of the sources, whichever test comes first; a lock
//! keeps the others waiting, in other processes too.

// A test without its fixtures must fail.
#![allow(clippy::expect_used)]

mod edits;
mod samples;

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use edits::Edit;
pub use samples::compile_samples;

/// The folder of the program that hosts plugins, with the server's own loader.
const PROBE: &str = "tests/fixtures/probe";

/// The API that a fixture is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The one in `plugin-api`.
    Ours,
    /// Version 2.0.0.
    OtherMajor,
    /// The same version, with two fields of a struct exchanged.
    ChangedLayout,
    /// Version 1.0.0, without what was appended since.
    OlderMinor,
    /// Version 1.4.0, with one more function in the module's table and in the host's.
    NewerMinor,
    /// Ours, built with `panic = "abort"`.
    PanicAbort,
}

impl Api {
    /// The name of its folder.
    fn folder(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OtherMajor => "other-major",
            Self::ChangedLayout => "changed-layout",
            Self::OlderMinor => "older-minor",
            Self::NewerMinor => "newer-minor",
            Self::PanicAbort => "panic-abort",
        }
    }

    /// The folders of the crates that are built for it.
    fn crates(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &[
                "sample-plugins/echo",
                "tests/fixtures/calls",
                "tests/fixtures/crowd",
                "tests/fixtures/dials",
                "tests/fixtures/fickle",
                "tests/fixtures/greedy",
                "tests/fixtures/harms",
                "tests/fixtures/hostile",
                "tests/fixtures/meets",
                "tests/fixtures/misuses",
                "tests/fixtures/never-reads",
                "tests/fixtures/obeys",
                "tests/fixtures/panics",
                "tests/fixtures/tries",
            ],
            Self::OlderMinor => &["sample-plugins/echo", PROBE],
            Self::NewerMinor => &["tests/fixtures/newer", PROBE],
            Self::OtherMajor | Self::ChangedLayout | Self::PanicAbort => &["sample-plugins/echo"],
        }
    }

    /// The edits that make its text from ours.
    fn edits(self) -> &'static [Edit] {
        match self {
            Self::Ours | Self::PanicAbort => &[],
            Self::OtherMajor => edits::OTHER_MAJOR,
            Self::ChangedLayout => edits::CHANGED_LAYOUT,
            Self::OlderMinor => edits::OLDER_MINOR,
            Self::NewerMinor => edits::NEWER_MINOR,
        }
    }
}

/// The file of a plugin: `echo` for every API but the newer one; `calls`, `crowd`, `dials`,
/// `fickle`, `greedy`, `harms`, `hostile`, `meets`, `misuses`, `never-reads`, `obeys`, `panics` and
/// `tries` for ours; `newer` for the newer one.
#[must_use]
pub fn plugin(api: Api, name: &str) -> PathBuf {
    built(api).join(format!("lib{}.so", name.replace('-', "_")))
}

/// The program that loads a plugin with this API: the older or the newer one.
#[must_use]
pub fn host(api: Api) -> PathBuf {
    built(api).join("fixture-probe")
}

/// The folder with what is built for this API.
fn built(api: Api) -> PathBuf {
    let (fixtures, _lock) = fixtures_folder();
    let sources = sources(api);
    let folder = fixtures.join("built").join(format!("{}-{:016x}", api.folder(), hash(&sources)));
    if !folder.exists() {
        let workspace = fixtures.join(api.folder());
        write_workspace(&workspace, &sources);
        build(api, &workspace, &fixtures.join("target"));
        keep(&fixtures.join("target/debug"), &folder);
    }
    folder
}

/// The folder for all of them, and a lock that keeps others out until it is dropped.
fn fixtures_folder() -> (PathBuf, File) {
    let fixtures = target_folder().join("fixtures");
    fs::create_dir_all(&fixtures).expect("the target folder can be written");
    let lock = File::create(fixtures.join("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be had");
    (fixtures, lock)
}

/// The folder in which this test program lies.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a test knows its own file");
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.expect("a test lies in cargo's target folder").to_owned()
}

/// The project's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the project")
}

/// A file of the generated workspace: its path there, and what is in it.
type Source = (PathBuf, String);

fn sources(api: Api) -> Vec<Source> {
    let mut sources = vec![
        (PathBuf::from("Cargo.toml"), manifest(api.crates())),
        (PathBuf::from("Cargo.lock"), read(&root().join("Cargo.lock"))),
    ];
    collect(Path::new("plugin-api"), Path::new("plugin-api"), &mut sources);
    for folder in api.crates() {
        let name = Path::new(folder).file_name().expect("each folder has a name");
        collect(Path::new(folder), Path::new(name), &mut sources);
    }
    if api.crates().contains(&PROBE) {
        collect(Path::new("server/src/loader"), Path::new("probe/src/loader"), &mut sources);
    }
    for edit in api.edits() {
        let edited = sources.iter_mut().find(|(path, _)| path == Path::new(edit.file));
        let (_, text) = edited.unwrap_or_else(|| panic!("{} is one of the sources", edit.file));
        *text = edit.apply(text);
    }
    sources
}

/// The project's own manifest, with these crates and the API as its members.
fn manifest(crates: &[&str]) -> String {
    let ours = read(&root().join("Cargo.toml"));
    let (head, rest) = ours.split_once("members = [").expect("the manifest lists members");
    let (_, tail) = rest.split_once(']').expect("the list of members ends");
    let name = |folder: &&str| folder.rsplit('/').next().map(|name| format!("{name:?}, "));
    let members: String = crates.iter().filter_map(name).collect();
    format!("{head}members = [{members}\"plugin-api\"]{tail}")
}

/// Adds all files below a folder of the project.
fn collect(from: &Path, to: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(root().join(from));
    let entries = entries.unwrap_or_else(|error| panic!("{} is there: {error}", from.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("a folder is read").file_name()).collect();
    names.sort();
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if root().join(&from).is_dir() {
            collect(&from, &to, sources);
        } else {
            sources.push((to, read(&root().join(&from))));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{} is read: {error}", path.display()))
}

/// The inputs that decide whether a rebuild is needed.
fn hash(sources: &[Source]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    cargo().arg("-vV").output().expect("cargo runs").stdout.hash(&mut hasher);
    hasher.finish()
}

/// Rewrites all files, so that cargo sees them as changed.
fn write_workspace(workspace: &Path, sources: &[Source]) {
    if workspace.exists() {
        fs::remove_dir_all(workspace).expect("an old workspace can be removed");
    }
    for (path, text) in sources {
        let path = workspace.join(path);
        let folder = path.parent().expect("each file lies in the workspace");
        fs::create_dir_all(folder).expect("the workspace can be written");
        let written = fs::write(&path, text);
        written.unwrap_or_else(|error| panic!("{} is written: {error}", path.display()));
    }
}

/// The dependencies are built once for all workspaces, since they share the target folder.
fn build(api: Api, workspace: &Path, target: &Path) {
    let mut cargo = cargo();
    cargo.args(["build", "--offline", "--quiet", "--workspace", "--target-dir"]).arg(target);
    cargo.args(["--config", "profile.dev.debug=0"]).current_dir(workspace);
    if api == Api::PanicAbort {
        cargo.args(["--config", "profile.dev.panic=\"abort\""]);
    }
    let output = cargo.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the fixtures for {api:?} do not build:\n{said}");
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A program that measures or instruments the tests does not mean the fixtures.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    cargo
}

/// Moves the results out of the way of the next build, all at once.
fn keep(built: &Path, folder: &Path) {
    let unfinished = folder.with_extension("unfinished");
    fs::create_dir_all(&unfinished).expect("the folder can be made");
    for entry in fs::read_dir(built).expect("cargo made the folder") {
        let path = entry.expect("a folder is read").path();
        let name = path.file_name().expect("a file has a name");
        if path.extension() == Some(OsStr::new("so")) || name == "fixture-probe" {
            fs::rename(&path, unfinished.join(name)).expect("what was built can be moved");
        }
    }
    fs::rename(&unfinished, folder).expect("the folder can be renamed");
}
