//! Each plugin has a folder for its own files, wherever it runs, and one process uses a state
//! folder.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::fs::metadata;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use trunkline_tests::binaries::trunkline;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Log, Server, Setup, run_to_its_end};
use trunkline_tests::skip;

const NOBODY: u32 = 65_534;

/// It asks for its folders when it starts, and logs the answers.
fn dials() -> PathBuf {
    fixtures::plugin(Api::Ours, "dials")
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mode(path: &Path) -> u32 {
    metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_plugin_has_a_data_folder_and_relative_paths_wherever_it_runs() {
    let folder = Folder::new();
    let places = ["inline", "thread", "process"];
    let alpha = places.iter().fold(Setup::new("alpha"), |setup, place| {
        setup.plugin(&dials(), &format!("name = \"{place}\"\nplacement = \"{place}\""))
    });
    let alpha = Server::start(&folder, &alpha);
    let gamma = Setup::host("gamma", "unix:alpha.sock").plugin(&dials(), "name = \"host\"");
    let gamma = Server::start(&folder, &gamma);
    let all = places.map(|place| (&alpha, "alpha.state", place)).into_iter();
    for (server, state, name) in all.chain([(&gamma, "gamma.state", "host")]) {
        let data = folder.path().join(state).join("data").join(name);
        let words = folder.path().join("words");
        for (path, function) in [(&data, "data_dir"), (&words, "path")] {
            server.log().wait_for(0, &format!(" plugin::{name}] {}", path.display()));
            server.log().wait_for(0, &format!(" plugin::{name}] {function} done"));
        }
        assert_eq!((mode(&data), mode(&data.join(".."))), (0o700, 0o700), "{name}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_had_is_refused_with_the_reason() {
    let refused = |lay: &dyn Fn(&Path)| {
        let folder = Folder::new();
        let data = folder.path().join("alpha.state/data");
        std::fs::create_dir_all(&data).expect("a new folder");
        std::fs::set_permissions(data.join(".."), PermissionsExt::from_mode(0o700)).expect("ours");
        lay(&data.join("dials"));
        let alpha = Server::start(&folder, &Setup::new("alpha").plugin(&dials(), ""));
        alpha.log().wait_for(0, " plugin::dials] data_dir no-data-folder");
    };
    refused(&|data| std::fs::write(data, "a file").expect("a new file"));
    if !geteuid().is_root() {
        return skip::aloud("data folders of another user", "only root can give files away");
    }
    refused(&|data| {
        std::fs::create_dir(data).expect("a new folder");
        chown(data, Some(NOBODY), None).expect("root may");
    });
}

#[test]
fn a_host_without_a_configuration_file_has_no_data_folders() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let mut host = Command::new(trunkline());
    host.args(["host", "--server", "unix:alpha.sock", "--plugin"]).arg(dials());
    host.current_dir(folder.path()).stderr(Stdio::piped());
    let mut host = Killed(host.spawn().expect("it can be started"));
    let log = Log::collect(host.0.stderr.take().expect("stderr is a pipe"));
    log.wait_for(0, " plugin::dials] data_dir no-data-folder");
    log.wait_for(0, &format!(" plugin::dials] {}", folder.path().join("words").display()));
    drop((host, alpha));
}

#[test]
fn a_second_server_with_the_same_state_folder_is_refused() {
    let folder = Folder::new();
    let with_state = |name: &str| Setup::new(name).server("state = \"shared\"");
    let mut alpha = Server::start(&folder, &with_state("alpha"));
    let (code, said) = run_to_its_end(&folder, &with_state("beta"));
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("trunkline: ")).collect();
    let shared = folder.path().join("shared").display().to_string();
    let process = alpha.process().0;
    let line = format!(
        "trunkline: {shared}: another server (process {process}) uses it; name another `state` \
         folder"
    );
    assert_eq!((code, errors), (1, vec![line.as_str()]), "{said}");
    alpha.kill();
    let beta = Server::start(&folder, &with_state("beta"));
    beta.try_status().expect("what a killed server leaves does not keep the next one out");
}
