//! The folders of the unix sockets for direct connections: in which one a process makes its own,
//! and in which ones it looks for those of others. No message names a folder, so all processes of
//! one user on one machine have to find the same ones by themselves.

use rustix::process::{Uid, geteuid};
use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use trunkline_core::address::UNIX_PATH_MAX;
use trunkline_core::control::SocketName;

/// Whether others than the owner may do anything in a folder.
const OTHERS: u32 = 0o077;
/// Whether others than the owner may change what is in a folder.
const OTHERS_WRITE: u32 = 0o022;

/// The folders, the best one first. Each is used only if it is our user's and closed to others, so
/// that nobody else can make us dial a socket; and if somebody else holds its name, the next one is
/// used, so that nobody can keep us from having one.
#[derive(Clone, Debug)]
pub(super) struct SocketFolders {
    candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    path: PathBuf,
    /// Whether everybody may make things beside it. Otherwise its parent has to be our user's.
    parent: Parent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// The folder for temporary files.
    Public,
    Ours,
}

impl SocketFolders {
    /// The folders of this process, which belongs to a server with this state folder, or to none on
    /// this machine.
    pub(super) fn of_this_process(state: Option<&Path>) -> SocketFolders {
        SocketFolders::new(geteuid(), &std::env::temp_dir(), state, |name| {
            std::env::var_os(name).map(PathBuf::from)
        })
    }

    /// First those that all processes of the user know, earlier releases too; then those that are
    /// known to processes of one service, or of one server.
    fn new(
        user: Uid,
        temporary: &Path,
        state: Option<&Path>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> SocketFolders {
        let number = user.as_raw();
        let ours = |path| Candidate { path, parent: Parent::Ours };
        let public = |path| Candidate { path, parent: Parent::Public };
        // It may name several, with colons between them.
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

    /// The path of a new socket, in the first folder that will do. The folder is made if it is not
    /// there.
    pub(super) fn place(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let mut failures = Vec::new();
        for candidate in &self.candidates {
            match candidate.place(socket) {
                Ok(path) => return Ok(path),
                Err(error) => failures.push(format!("{}: {error}", candidate.path.display())),
            }
        }
        let text = format!("there is no folder for its socket: {}", failures.join("; "));
        Err(io::Error::new(ErrorKind::PermissionDenied, text))
    }

    /// The path of another process's socket.
    pub(super) fn find(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let there = |path: &PathBuf| {
            path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
        };
        let safe = self.candidates.iter().filter(|candidate| candidate.check().is_ok());
        let found = safe.map(|candidate| candidate.path.join(socket.as_str())).find(there);
        let text = "its socket is in none of the folders that this process knows";
        found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, text))
    }
}

impl Candidate {
    fn place(&self, socket: &SocketName) -> io::Result<PathBuf> {
        let path = self.path.join(socket.as_str());
        if path.as_os_str().len() > UNIX_PATH_MAX {
            let text = format!("a socket's path there has over {UNIX_PATH_MAX} bytes");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        self.check_parent()?;
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => self.check()?,
        }
        Ok(path)
    }

    /// Whether the folder is ours alone.
    fn check(&self) -> io::Result<()> {
        self.check_parent()?;
        match is_ours(&self.path.symlink_metadata()?, OTHERS) {
            true => Ok(()),
            false => Err(io::Error::new(ErrorKind::PermissionDenied, "others may use it")),
        }
    }

    /// Whether nobody else can put another folder in its place. In the folder for temporary files,
    /// the system sees to that.
    fn check_parent(&self) -> io::Result<()> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        match self.parent {
            Parent::Ours if !is_ours(&parent.symlink_metadata()?, OTHERS_WRITE) => {
                let text = "others may write to the folder that it is in";
                Err(io::Error::new(ErrorKind::PermissionDenied, text))
            }
            Parent::Ours | Parent::Public => Ok(()),
        }
    }
}

/// Whether this is a folder of our user in which others may not do this.
fn is_ours(folder: &Metadata, others: u32) -> bool {
    folder.is_dir() && folder.uid() == geteuid().as_raw() && folder.mode() & others == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// A folder of our own that is removed in the end.
    struct Own(PathBuf);

    impl Own {
        fn new(name: &str) -> Own {
            let name = format!("tl-folders-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            DirBuilder::new().mode(0o700).create(&path).expect("a new folder");
            Own(path)
        }

        /// Makes a folder in it, which these may use.
        fn with(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(&path).expect("a new folder");
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("it is ours");
            path
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// As for a user without a runtime folder, who is not root.
    fn folders(own: &Own, variables: &[(&str, &Path)]) -> SocketFolders {
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
    fn a_folder_that_others_hold_is_passed_over() {
        let own = Own::new("held");
        let shared = own.0.join("trunkline-4000000");
        let first = folders(&own, &[]).place(&name(1)).expect("the one for temporary files");
        assert_eq!(first.parent(), Some(&*shared), "it is made");
        own.with("trunkline-4000000", 0o777);
        let second = folders(&own, &[]).place(&name(1)).expect("the state folder");
        assert_eq!(second.parent(), Some(&*own.0.join("state/direct")));
        let runtime = own.with("runtime", 0o700);
        let third = folders(&own, &[("XDG_RUNTIME_DIR", &runtime)]).place(&name(1));
        let third = third.expect("the runtime folder");
        assert_eq!(third.parent(), Some(&*runtime.join("trunkline")));
        own.with("runtime", 0o777);
        let fourth = folders(&own, &[("XDG_RUNTIME_DIR", &runtime)]).place(&name(1));
        assert_eq!(fourth.expect("the state folder"), second, "others could replace the folder");
    }

    #[test]
    fn a_symlink_and_a_file_are_no_folder() {
        let own = Own::new("links");
        let elsewhere = own.with("elsewhere", 0o700);
        let shared = own.0.join("trunkline-4000000");
        std::os::unix::fs::symlink(&elsewhere, &shared).expect("a symlink");
        let place = folders(&own, &[]).place(&name(1)).expect("the state folder");
        assert_eq!(place.parent(), Some(&*own.0.join("state/direct")));
        std::fs::remove_dir_all(own.0.join("state/direct")).expect("it is ours");
        std::fs::write(own.0.join("state/direct"), "").expect("a file");
        let error = folders(&own, &[]).place(&name(1)).expect_err("there is no other folder");
        let text = error.to_string();
        assert!(text.contains("trunkline-4000000: others may use it"), "{text}");
        assert!(text.contains("state/direct: others may use it"), "{text}");
    }

    #[test]
    fn a_socket_is_found_in_whichever_safe_folder_it_is() {
        let own = Own::new("found");
        let all = folders(&own, &[]);
        let first = all.place(&name(1)).expect("the one for temporary files");
        let _first = UnixListener::bind(&first).expect("a socket");
        assert_eq!(all.find(&name(1)).expect("it is there"), first);
        // Processes that were started later have another folder.
        let runtime = own.with("runtime", 0o700);
        own.with("state/direct", 0o700);
        let second = own.0.join("state/direct").join(name(2).as_str());
        let _second = UnixListener::bind(&second).expect("a socket");
        let later = folders(&own, &[("RUNTIME_DIRECTORY", &runtime)]);
        assert_eq!(later.find(&name(2)).expect("it is there"), second);
        assert_eq!(later.find(&name(1)).expect("it is there"), first);
        own.with("trunkline-4000000", 0o755);
        let error = later.find(&name(1)).expect_err("others may have put it there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_whose_sockets_have_too_long_paths_is_passed_over() {
        let own = Own::new("long");
        let long = own.with(&"l".repeat(UNIX_PATH_MAX), 0o700);
        own.with("trunkline-4000000", 0o777);
        let place = folders(&own, &[("XDG_RUNTIME_DIR", &long)]).place(&name(1));
        assert_eq!(place.expect("the state folder").parent(), Some(&*own.0.join("state/direct")));
    }
}
