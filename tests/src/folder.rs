//! A folder of a test's own, which is removed with the test.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty folder with a short path, because a unix socket's path is short.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a new one.
    ///
    /// # Panics
    ///
    /// When the system's folder for temporary files cannot be written to.
    #[allow(clippy::expect_used)] // A test without a folder must not go on.
    pub fn new() -> Folder {
        // A test that was killed leaves its folder, and its number is given to another process.
        loop {
            let path = Folder::next_path();
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Folder(path)).expect("a folder for temporary files"),
            }
        }
    }

    fn next_path() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("tl-{}-{number}", std::process::id()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it; returns the file's path.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[allow(clippy::expect_used)] // As above.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, content).expect("a file can be written");
        file
    }
}

impl Default for Folder {
    fn default() -> Folder {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system, which cleans this place.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
