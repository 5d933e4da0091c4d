//! The configurations in the README are valid.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;
use trunkline_tests::tidy::{documents::blocks, root};

#[test]
fn the_configurations_in_the_readme_are_valid() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = Folder::new();
    for name in ["echo", "forward", "ping"] {
        symlink(plugin(name), folder.path().join(format!("lib{name}.so"))).unwrap();
    }
    let shown = blocks(&readme, "toml");
    assert_eq!(shown.len(), 2, "the README shows two servers");
    for (line, text) in shown {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let name = name.unwrap_or_else(|| panic!("line {line}: does not begin with a file's name"));
        let file = folder.write(name, &text);
        let checked = Command::new(trunkline()).arg("check").arg("--config").arg(file).output();
        let checked = checked.unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "README.md:{line}: {name} is not valid:\n{said}");
    }
}
