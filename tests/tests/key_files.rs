//! A server's key file: made if there is none, refused if it is not a valid secret key of its own,
//! never overwritten.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
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
