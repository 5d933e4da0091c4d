//! The programs of earlier releases that `make old-peer` has built, and what git knows of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::target_folder;
use crate::skip;
use crate::tidy::root;

/// A release whose program is there.
#[derive(Clone, Debug)]
pub struct OldPeer {
    /// The commit, or the tag.
    pub release: String,
    /// Its `trunkline`, beside which its sample plugins are.
    pub program: PathBuf,
}

/// The releases that are listed in `tests/old-peer/list`.
///
/// # Panics
///
/// When the list cannot be read.
#[must_use]
pub fn releases() -> Vec<String> {
    let file = root().join("tests/old-peer/list");
    let text = std::fs::read_to_string(&file);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let listed = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(listed).map(str::to_owned).collect()
}

/// Those of them that are built. Of each that is not it is said aloud that `what` is not tested.
#[must_use]
pub fn or_skip(what: &str) -> Vec<OldPeer> {
    let folder = target_folder().join("old-peer");
    let built = |release: String| {
        let program = folder.join(&release).join("trunkline");
        if program.is_file() {
            return Some(OldPeer { release, program });
        }
        let why = match is_in_history(&release) {
            true => "it is not built; run `make old-peer`",
            false => "git has no such commit here, as in a shallow clone",
        };
        skip::aloud(&format!("{what}, with {release}"), why);
        None
    };
    releases().into_iter().filter_map(built).collect()
}

/// Whether git can show the files of a commit.
#[must_use]
pub fn is_in_history(release: &str) -> bool {
    let asked = git(&["cat-file", "-e", &format!("{release}^{{commit}}")]);
    asked.is_ok_and(|output| output.status.success())
}

/// The text files of a folder at a commit: the path of each, and what is in it.
///
/// # Panics
///
/// When git does not show them; see [`is_in_history`].
#[must_use]
pub fn files_of(release: &str, folder: &str) -> Vec<(PathBuf, String)> {
    let names = said(&["ls-tree", "-r", "--name-only", release, folder]);
    let content = |name: &str| said(&["show", &format!("{release}:{name}")]);
    names.lines().map(|name| (Path::new(name).to_owned(), content(name))).collect()
}

fn said(arguments: &[&str]) -> String {
    let output = git(arguments).unwrap_or_else(|error| panic!("git {arguments:?}: {error}"));
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn git(arguments: &[&str]) -> std::io::Result<std::process::Output> {
    Command::new("git").arg("-C").arg(root()).args(arguments).output()
}
