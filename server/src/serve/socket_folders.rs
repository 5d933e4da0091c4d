//! The folders of the unix sockets for direct connections: where a process creates its own sockets,
//! and where it looks for those of other processes. No message names a folder, so all processes of
//! a user on a machine derive the same list.

use rustix::process::{Uid, geteuid};
use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use trunkline_core::address::UNIX_PATH_MAX;
use trunkline_core::control::SocketName;

/// Mode bits of a folder that give other users any access.
const OTHERS: u32 = 0o077;
/// Mode bits of a folder that let other users write to it.
const OTHERS_WRITE: u32 = 0o022;

/// The folders, the best one first. A folder is used only if it belongs to our user and other users
/// have no access, so they cannot make us dial a socket of theirs. If another user has taken its
/// name, the next folder is used, so other users cannot deny us a folder.
#[derive(Clone, Debug)]
pub(super) struct SocketFolders {
    candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    path: PathBuf,
    /// Whether all users may write to its parent. Otherwise the parent must belong to our user.
    parent: Parent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// The folder for temporary files, with the sticky bit.
    Public,
    Ours,
}

impl SocketFolders {
    /// The folders of this process. `state` is the state folder of its server, if that is on this
    /// machine.
    pub(super) fn of_this_process(state: Option<&Path>) -> SocketFolders {
        SocketFolders::new(geteuid(), &std::env::temp_dir(), state, |name| {
            std::env::var_os(name).map(PathBuf::from)
        })
    }

    /// First the folders that all processes of the user derive, also of earlier releases. Then
    /// those that only processes of one service, or of one server, derive.
    fn new(
        user: Uid,
        temporary: &Path,
        state: Option<&Path>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> SocketFolders {
        let number = user.as_raw();
        let ours = |path| Candidate { path, parent: Parent::Ours };
        let public = |path| Candidate { path, parent: Parent::Public };
        // It may be a list, separated by colons. The first folder is used.
        let service = variable("RUNTIME_DIRECTORY").map(|list| {
            let text = list.to_string_lossy().into_owned();
            PathBuf::from(text.split(':').next().unwrap_or_default())
        });
        let all = [
            Some(ours(PathBuf::from(format!("/run/user/{number}/trunkline")))),
            Some(public(temporary.join(format!("trunkline-{number}")))),
            user.is_root().then(|| ours(PathBuf::from("/run/trunkline-direct"))),
            variable("XDG_RUNTIME_DIR").map(|folder| ours(folder.join("trunkline"))),
            service.map(|folder| ours(folder.join("trunkline"))),
            state.map(|folder| ours(folder.join("direct"))),
        ];
        let mut candidates: Vec<Candidate> = Vec::new();
        for candidate in all.into_iter().flatten().filter(|folder| folder.path.is_absolute()) {
            if !candidates.iter().any(|earlier| earlier.path == candidate.path) {
                candidates.push(candidate);
            }
        }
        SocketFolders { candidates }
    }

    /// The path of a new socket, in the first usable folder, which is created if necessary.
    pub(super) fn path_for_new(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let mut failures = Vec::new();
        for candidate in &self.candidates {
            match candidate.path_for_new(socket) {
                Ok(path) => return Ok(path),
                Err(error) => failures.push(format!("{}: {error}", candidate.path.display())),
            }
        }
        let text = format!("no folder for its socket is usable: {}", failures.join("; "));
        Err(io::Error::new(ErrorKind::PermissionDenied, text))
    }

    /// The path of another process's socket.
    pub(super) fn find(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let there = |path: &PathBuf| {
            path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
        };
        let safe = self.candidates.iter().filter(|candidate| candidate.check().is_ok());
        let found = safe.map(|candidate| candidate.path.join(socket.as_str())).find(there);
        let text = "its socket is in none of this process's socket folders";
        found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, text))
    }
}

impl Candidate {
    fn path_for_new(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let path = self.path.join(socket.as_str());
        if path.as_os_str().len() > UNIX_PATH_MAX {
            let text = format!("a socket's path would be longer than {UNIX_PATH_MAX} bytes");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        self.check_parent()?;
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => self.check()?,
        }
        Ok(path)
    }

    /// Checks that only our user has access to the folder.
    fn check(&self) -> io::Result<()> {
        self.check_parent()?;
        match is_ours(&self.path.symlink_metadata()?, OTHERS) {
            true => Ok(()),
            false => {
                Err(io::Error::new(ErrorKind::PermissionDenied, "other users have access to it"))
            }
        }
    }

    /// Checks that no other user can replace the folder. In the folder for temporary files, the
    /// sticky bit prevents that.
    fn check_parent(&self) -> io::Result<()> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        match self.parent {
            Parent::Ours if !is_ours(&parent.symlink_metadata()?, OTHERS_WRITE) => {
                let text = "other users may write to its parent folder";
                Err(io::Error::new(ErrorKind::PermissionDenied, text))
            }
            Parent::Ours | Parent::Public => Ok(()),
        }
    }
}

/// Whether this is a folder of our user without any of these mode bits.
fn is_ours(folder: &Metadata, others: u32) -> bool {
    folder.is_dir() && folder.uid() == geteuid().as_raw() && folder.mode() & others == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// A temporary folder that is removed at the end.
    struct TestFolder(PathBuf);

    impl TestFolder {
        fn new(name: &str) -> TestFolder {
            let name = format!("tl-folders-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            DirBuilder::new().mode(0o700).create(&path).expect("a new folder");
            TestFolder(path)
        }

        /// Creates a folder in it with this mode.
        fn with(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(&path).expect("a new folder");
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("it is ours");
            path
        }
    }

    impl Drop for TestFolder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// The folders of a user who is not root and has no runtime folder.
    fn folders(own: &TestFolder, variables: &[(&str, &Path)]) -> SocketFolders {
        let user = Uid::from_raw(4_000_000);
        let state = own.with("state", 0o755);
        SocketFolders::new(user, &own.0, Some(&state), |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, path)| path.to_path_buf())
        })
    }

    fn name(byte: u8) -> SocketName {
        SocketName::new([byte; 16])
    }

    #[test]
    fn a_folder_that_other_users_can_access_is_skipped() {
        let own = TestFolder::new("held");
        let shared = own.0.join("trunkline-4000000");
        let first = folders(&own, &[]).path_for_new(&name(1)).expect("the one for temporary files");
        assert_eq!(first.parent(), Some(&*shared), "it is made");
        own.with("trunkline-4000000", 0o777);
        let second = folders(&own, &[]).path_for_new(&name(1)).expect("the state folder");
        assert_eq!(second.parent(), Some(&*own.0.join("state/direct")));
        let runtime = own.with("runtime", 0o700);
        let third = folders(&own, &[("XDG_RUNTIME_DIR", &runtime)]).path_for_new(&name(1));
        let third = third.expect("the runtime folder");
        assert_eq!(third.parent(), Some(&*runtime.join("trunkline")));
        own.with("runtime", 0o777);
        let fourth = folders(&own, &[("XDG_RUNTIME_DIR", &runtime)]).path_for_new(&name(1));
        assert_eq!(
            fourth.expect("the state folder"),
            second,
            "other users could replace the folder"
        );
    }

    #[test]
    fn a_symlink_or_a_file_is_not_used_as_a_folder() {
        let own = TestFolder::new("links");
        let elsewhere = own.with("elsewhere", 0o700);
        let shared = own.0.join("trunkline-4000000");
        std::os::unix::fs::symlink(&elsewhere, &shared).expect("a symlink");
        let place = folders(&own, &[]).path_for_new(&name(1)).expect("the state folder");
        assert_eq!(place.parent(), Some(&*own.0.join("state/direct")));
        std::fs::remove_dir_all(own.0.join("state/direct")).expect("it is ours");
        std::fs::write(own.0.join("state/direct"), "").expect("a file");
        let error =
            folders(&own, &[]).path_for_new(&name(1)).expect_err("there is no other folder");
        let text = error.to_string();
        assert!(text.contains("trunkline-4000000: other users have access to it"), "{text}");
        assert!(text.contains("state/direct: other users have access to it"), "{text}");
    }

    #[test]
    fn a_socket_is_found_in_any_safe_folder() {
        let own = TestFolder::new("found");
        let all = folders(&own, &[]);
        let first = all.path_for_new(&name(1)).expect("the one for temporary files");
        let _first = UnixListener::bind(&first).expect("a socket");
        assert_eq!(all.find(&name(1)).expect("it is there"), first);
        // A process with another environment has another list of folders.
        let runtime = own.with("runtime", 0o700);
        own.with("state/direct", 0o700);
        let second = own.0.join("state/direct").join(name(2).as_str());
        let _second = UnixListener::bind(&second).expect("a socket");
        let later = folders(&own, &[("RUNTIME_DIRECTORY", &runtime)]);
        assert_eq!(later.find(&name(2)).expect("it is there"), second);
        assert_eq!(later.find(&name(1)).expect("it is there"), first);
        own.with("trunkline-4000000", 0o755);
        let error = later.find(&name(1)).expect_err("another user may have created it");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_in_which_socket_paths_are_too_long_is_skipped() {
        let own = TestFolder::new("long");
        let long = own.with(&"l".repeat(UNIX_PATH_MAX), 0o700);
        own.with("trunkline-4000000", 0o777);
        let place = folders(&own, &[("XDG_RUNTIME_DIR", &long)]).path_for_new(&name(1));
        assert_eq!(place.expect("the state folder").parent(), Some(&*own.0.join("state/direct")));
    }
}
