//! A server's unix socket is open to the server's own user and to root, whatever the mode of the
//! file; and only sockets of these are dialled.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_uid;
use std::fs::{Permissions, metadata, set_permissions};
use std::io::{ErrorKind, Read, Result};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Peer, Server, Setup, Socket};
use trunkline_tests::skip;

/// A user id that is neither root nor the user that runs the tests.
const NOBODY: u32 = 65_534;

fn server(folder: &Folder) -> Server {
    Server::start(folder, &Setup::new("alpha").plugin(&plugin("echo"), ""))
}

/// Connects as another user, which only root can become, on a thread that ends as that user.
fn connect_as_another_user(path: &Path) -> Result<UnixStream> {
    let path: PathBuf = path.to_owned();
    let connects = move || {
        set_thread_uid(Uid::from_raw(NOBODY))?;
        UnixStream::connect(path)
    };
    std::thread::spawn(connects).join().expect("the thread does not panic")
}

/// Listens as another user, which only root can become.
fn listen_as_another_user(path: &Path) -> UnixListener {
    let path: PathBuf = path.to_owned();
    let listens = move || {
        set_thread_uid(Uid::from_raw(NOBODY)).expect("root becomes any user");
        UnixListener::bind(path).expect("its folder is for everybody")
    };
    std::thread::spawn(listens).join().expect("the thread does not panic")
}

#[test]
fn another_users_socket_is_no_peer_and_no_server() {
    if !geteuid().is_root() {
        skip::aloud("a socket of another user", "only root can become another user");
        return;
    }
    let folder = Folder::new();
    set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is our folder");
    let path = folder.path().join("theirs.sock");
    let theirs = listen_as_another_user(&path);
    set_permissions(&path, Permissions::from_mode(0o666)).expect("root may");
    let address = format!("unix:{}~noauth", path.display());
    let alpha = Server::start(&folder, &Setup::new("alpha").peer_at(&address));
    let why = format!("another user (number {NOBODY}) listens there");
    alpha.log().wait_for(0, &why);
    let mut heard = Vec::new();
    let (mut dialled, _) = theirs.accept().expect("somebody dials");
    dialled.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    dialled.read_to_end(&mut heard).expect("the server hangs up");
    assert!(heard.is_empty(), "a server says {heard:?} to another user's socket");
    drop(dialled);

    let status = Command::new(trunkline()).args(["status", "--server", &address]).output();
    let status = status.expect("the program runs");
    let said = String::from_utf8_lossy(&status.stderr);
    assert!(!status.status.success() && said.contains(&why), "{said}");
    assert!(alpha.try_status().is_ok(), "its own socket serves the command line");
}

#[test]
fn a_socket_file_is_accessible_to_its_owner_only() {
    let folder = Folder::new();
    let alpha = server(&folder);
    let mode = metadata(alpha.socket()).expect("the socket is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the mode of the socket is {:03o}", mode & 0o777);
}

#[test]
fn another_user_is_refused_even_with_file_permissions() {
    if !geteuid().is_root() {
        skip::aloud("another user at a unix socket", "only root can become another user");
        return;
    }
    let folder = Folder::new();
    let alpha = server(&folder);
    let mut good = Peer::link(Socket::unix(&alpha), 1);
    let error = connect_as_another_user(&alpha.socket()).expect_err("the mode keeps others out");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");

    set_permissions(alpha.socket(), Permissions::from_mode(0o666)).expect("it is our file");
    let mut stream = connect_as_another_user(&alpha.socket()).expect("now the mode lets it in");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let mut heard = Vec::new();
    // Closed, in either way.
    let _ = stream.read_to_end(&mut heard).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server does not hang up");
    });
    assert!(heard.is_empty(), "another user heard {heard:?}");
    alpha.log().wait_for(0, "another user's connection was refused");
    good.echo("echo", b"its own user goes on");
    assert!(alpha.try_status().is_ok(), "the command line is served");
}
