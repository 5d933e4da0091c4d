//! A server's key file: made if there is none, refused if it is not a valid secret key of its own,
//! never overwritten.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};
use trunkline_tests::binaries::trunkline;
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Server, Setup, key_of, run_to_its_end};
use trunkline_tests::skip;

const GOOD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

#[test]
fn a_server_makes_its_key_once_and_keeps_it() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let (key, file) = (alpha.key(), folder.path().join("alpha.key"));
    let mode = fs::metadata(&file).expect("the file is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the mode of the key file is {mode:03o}");
    let before = fs::read(&file).expect("it is ours");
    let alpha = alpha.start_again();
    assert_eq!(alpha.key(), key, "a server that returns is the same one");
    assert_eq!(fs::read(&file).expect("it is ours"), before, "the file is as it was");
}

#[test]
fn an_existing_key_file_is_used() {
    let folder = Folder::new();
    let file = folder.write("alpha.key", GOOD);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    assert_eq!(alpha.key(), key_of(1), "32 times the byte 1 is the seed");
}

#[test]
fn a_server_refuses_an_invalid_key_file_and_does_not_modify_it() {
    let short = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==\n";
    let no_key = "not a key: the base64 of 32 bytes was expected; name another file";
    let mut cases = vec![
        ("others may read it", GOOD, 0o644, "others may read it (mode 644); use `chmod 600 "),
        ("its group may write it", GOOD, 0o620, "others may read it (mode 620); use `chmod 600 "),
        ("31 bytes", short, 0o600, no_key),
        ("two keys", &GOOD.repeat(2), 0o600, no_key),
        ("nothing", "", 0o600, no_key),
    ]
    .into_iter()
    .map(|(what, content, mode, why)| (what, content.to_string(), mode, why))
    .collect::<Vec<_>>();
    match geteuid().is_root() {
        true => skip::aloud("a key file that cannot be read", "root can read all files"),
        false => cases.push(("unreadable", GOOD.to_string(), 0o200, "cannot be read: ")),
    }
    for (what, content, mode, why) in cases {
        let folder = Folder::new();
        let file = folder.write("alpha.key", &content);
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
        let (code, log) = run_to_its_end(&folder, &Setup::new("alpha"));
        assert_ne!(code, 0, "{what}: the server ended well:\n{log}");
        assert!(log.contains(why), "{what}: it says\n{log}\nand not {why:?}");
        assert!(!log.contains(GOOD.trim()), "{what}: the secret is shown:\n{log}");
        let now = fs::metadata(&file).expect("the file is there").permissions().mode() & 0o777;
        assert_eq!(now, mode, "{what}: the mode was changed");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let kept = fs::read_to_string(&file).expect("it is ours");
        assert_eq!(kept, content, "{what}: the file was overwritten");
    }
}

#[test]
fn a_folder_or_dangling_symlink_as_key_file_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("alpha.key")).expect("a folder can be made");
    let (code, log) = run_to_its_end(&folder, &Setup::new("alpha"));
    assert_ne!(code, 0, "the server ended well:\n{log}");
    assert!(log.contains("not a file; name another one"), "{log}");

    let link = folder.path().join("beta.key");
    std::os::unix::fs::symlink("nowhere.key", &link).expect("a link can be made");
    let (code, log) = run_to_its_end(&folder, &Setup::new("beta"));
    assert_ne!(code, 0, "the server ended well:\n{log}");
    assert!(log.contains("beta.key: cannot be read: "), "{log}");
    let target = fs::read_link(&link).expect("it is still a link");
    assert_eq!(target.to_str(), Some("nowhere.key"), "the link leads elsewhere");
    assert!(!folder.path().join("nowhere.key").exists(), "a key was made where nobody named one");
}

/// A user id that is neither root nor the user that runs the tests.
const NOBODY: u32 = 65_534;

/// Runs `trunkline key alpha.key` with faults in these system calls; `None` without strace.
fn key_with(folder: &Folder, faults: &[&str]) -> Option<Output> {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null"]);
    for fault in faults {
        let calls = fault.split(':').next().unwrap_or_default();
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
    }
    command.arg(trunkline()).args(["key", "alpha.key"]).current_dir(folder.path());
    let run = command.output();
    run.inspect_err(|_| skip::aloud("faults while a key is made", "there is no strace")).ok()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is ours");
    let names = entries.map(|entry| entry.expect("it is ours").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_killed_process_leaves_no_file_with_a_secret() {
    let folder = Folder::new();
    let Some(killed) = key_with(&folder, &["fsync:signal=KILL"]) else { return };
    assert!(!killed.status.success(), "it was not killed");
    assert_eq!(names(folder.path()), [""; 0]);
    // What an earlier release left, and a file of a process that runs.
    let running = format!("alpha.key.{}.new", std::process::id());
    for name in ["alpha.key.4194303.new", &running, "alpha.key.x.new", "beta.key.4194303.new"] {
        folder.write(name, GOOD);
    }
    assert!(key_with(&folder, &["getppid:error=EPERM"]).is_some_and(|run| run.status.success()));
    let mut left = names(folder.path());
    left.sort();
    let mut expected = vec!["alpha.key".into(), running, "alpha.key.x.new".into()];
    expected.push("beta.key.4194303.new".into());
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_key_is_made_where_there_are_no_hard_links() {
    for faults in [
        &["link,linkat:error=EPERM"][..],
        &["link,linkat:error=EOPNOTSUPP", "rename,renameat,renameat2:error=EINVAL"],
    ] {
        let folder = Folder::new();
        let Some(made) = key_with(&folder, faults) else { return };
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{faults:?}: {said}");
        assert_eq!(names(folder.path()), ["alpha.key"], "{faults:?}");
        let file = folder.path().join("alpha.key");
        let mode = fs::metadata(&file).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{faults:?}");
        let again = key_with(&folder, &["getppid:error=EPERM"]).expect("strace is there");
        assert_eq!(again.stdout, made.stdout, "{faults:?}: it is another key");
    }
}

#[test]
fn a_key_file_or_state_folder_of_another_user_is_refused() {
    if !geteuid().is_root() {
        skip::aloud("files of another user", "only root can give files away");
        return;
    }
    let whose = format!("it belongs to another user (number {NOBODY})");
    let folder = Folder::new();
    let file = folder.write("alpha.key", GOOD);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    chown(&file, Some(NOBODY), None).expect("root may");
    let (code, said) = run_to_its_end(&folder, &Setup::new("alpha"));
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(said.contains(&format!("alpha.key: {whose}")), "{said}");

    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).expect("a new folder");
    chown(&theirs, Some(NOBODY), None).expect("root may");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&theirs, &link).expect("a new link");
    for state in ["theirs", "link"] {
        let setup = Setup::new("beta").server(&format!("state = \"{state}\""));
        let (code, said) = run_to_its_end(&folder, &setup);
        assert_eq!(code, 1, "{state}: {said}");
        assert!(said.contains(&format!("{state}: {whose}")), "{said}");
    }
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("a new folder");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("it is ours");
    let setup = Setup::new("beta").server("state = \"open\"");
    let (code, said) = run_to_its_end(&folder, &setup);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("open: all users may write to it; use `chmod o-w "), "{said}");
}
