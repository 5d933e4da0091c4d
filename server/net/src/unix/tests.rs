//! Tests of unix sockets and of their files.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is removed at the end.
struct TestFolder(PathBuf);

impl TestFolder {
    fn new() -> TestFolder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tl-net-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        TestFolder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A socket on which no process listens any more, as a killed process leaves it.
fn leave_dead_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[test]
fn a_socket_has_its_mode_and_its_lock_and_leaves_nothing() {
    let folder = TestFolder::new();
    let path = folder.0.join("a.sock");
    leave_dead_socket(&path);
    let (listener, file) = listen(&path).unwrap();
    assert_eq!(symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.names(), ["a.sock", "a.sock.lock"]);
    dial(&path).unwrap();
    assert!(matches!(accept(&listener), Accepted::Connection(_)));
    assert!(matches!(accept(&listener), Accepted::Nobody));
    drop((listener, file));
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn a_second_listener_of_the_same_process_is_refused_and_the_first_keeps_its_lock() {
    let folder = TestFolder::new();
    let path = folder.0.join("a.sock");
    let first = listen(&path).unwrap();
    let error = listen(&path).expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(folder.names(), ["a.sock", "a.sock.lock"]);
    // Another process is needed to see a lock.
    let lock = folder.0.join("a.sock.lock");
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let inode = format!(":{} ", symlink_metadata(lock).unwrap().ino());
    let ours = |line: &&str| line.contains("POSIX") && line.contains(&inode);
    assert_eq!(locks.lines().filter(ours).count(), 1, "{locks}");
    drop(first);
}

#[test]
fn a_file_that_another_process_put_in_its_place_stays() {
    let folder = TestFolder::new();
    let path = folder.0.join("a.sock");
    let (_listener, file) = listen(&path).unwrap();
    for name in folder.names() {
        std::fs::remove_file(folder.0.join(name)).unwrap();
    }
    let _successor = UnixListener::bind(&path).unwrap();
    std::fs::write(folder.0.join("a.sock.lock"), "").unwrap();
    file.remove().unwrap();
    assert_eq!(folder.names(), ["a.sock", "a.sock.lock"]);
}

#[test]
fn a_file_that_is_no_socket_is_not_replaced() {
    let folder = TestFolder::new();
    let path = folder.0.join("a.sock");
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(listen(&path).expect_err("a file").kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(folder.names(), ["a.sock"]);
}

#[test]
fn a_path_of_full_length_can_be_listened_on() {
    let folder = TestFolder::new();
    let room = PATH_MAX - folder.0.as_os_str().len() - 1;
    let deep = folder.0.join("d".repeat(room - 7));
    std::fs::create_dir(&deep).unwrap();
    for path in [folder.0.join("s".repeat(room)), deep.join("a.sock")] {
        assert_eq!(path.as_os_str().len(), PATH_MAX);
        let (_listener, _file) = listen(&path).unwrap();
        dial(&path).unwrap();
    }
    let longer = folder.0.join("s".repeat(room + 1));
    assert_eq!(listen(&longer).expect_err("too long").kind(), ErrorKind::InvalidInput);
    std::fs::remove_dir(&deep).expect("it is empty again");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn a_full_queue_is_no_reason_to_wait() {
    let folder = TestFolder::new();
    let path = folder.0.join("full.sock");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _waiting = dial(&path).unwrap();
    assert_eq!(dial(&path).expect_err("full").kind(), ErrorKind::WouldBlock);
    let patience = Duration::from_millis(50);
    let error = connect_within(&path, patience).expect_err("it stays full");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    remove_dead(&folder.0, Duration::ZERO, |_| true);
    assert_eq!(folder.names(), ["full.sock"], "its process lives");
    assert_eq!(listen(&path).expect_err("it lives").kind(), ErrorKind::AddrInUse);
    drop(socket);
    remove_dead(&folder.0, Duration::ZERO, |_| true);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}
