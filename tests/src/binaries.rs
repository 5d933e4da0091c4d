//! The programs under test, built once for each run of a test binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `trunkline` binary, built by cargo with the profile and in the target folder of this test;
/// or the one of an earlier release in the folder that `TRUNKLINE_PROGRAMS` names, which shows that
/// a test of a mended fault finds the fault there.
///
/// # Panics
///
/// When it cannot be built.
pub fn trunkline() -> PathBuf {
    let earlier = std::env::var_os("TRUNKLINE_PROGRAMS").map(PathBuf::from);
    earlier.as_deref().unwrap_or_else(|| built()).join("trunkline")
}

/// The shared object of a sample plugin, such as `echo`, built in the same way; or the one of an
/// earlier release in the folder that `TRUNKLINE_PLUGINS` names.
///
/// # Panics
///
/// When it cannot be built.
pub fn plugin(name: &str) -> PathBuf {
    let earlier = std::env::var_os("TRUNKLINE_PLUGINS").map(PathBuf::from);
    earlier.as_deref().unwrap_or_else(|| built()).join(format!("lib{name}.so"))
}

/// An example program of `trunkline-shs`, such as `echo_server`, built in the same way.
///
/// # Panics
///
/// When it cannot be built.
pub fn shs_example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["--examples"])).join("examples").join(name)
}

/// Cargo's target folder, in which tests may keep files that are slow to get.
///
/// # Panics
///
/// When this program was not built by cargo.
#[allow(clippy::expect_used)]
pub fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    test.ancestors().nth(3).expect("a test lies in TARGET/PROFILE/deps").to_path_buf()
}

/// The folder into which cargo puts its results.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&[]))
}

/// Builds the whole workspace, as `cargo test --workspace` does: a package alone could have other
/// features, and everything below it would be built a second time.
#[allow(clippy::expect_used)] // A test that has nothing to test must not go on.
fn build(more: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    // It is TARGET/PROFILE/deps/NAME-HASH.
    let output = test.ancestors().nth(2).expect("a test lies in TARGET/PROFILE/deps");
    let target = output.parent().expect("TARGET/PROFILE has a parent");
    let profile = match output.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--workspace", "--profile", profile, "--target-dir"])
        .arg(target)
        .args(more)
        .current_dir(workspace)
        .status()
        .expect("cargo can be started");
    assert!(status.success(), "the workspace was not built: {status}");
    output.to_path_buf()
}
