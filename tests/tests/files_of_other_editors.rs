//! Configuration and key files as editors of other systems leave them are read, or refused with one
//! line; names of files may hold anything.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;

const GOOD: &str = "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\n\
                    listen = [\"unix:alpha.sock~noauth\"]\n";

/// Runs a command in a folder; returns its exit code and its lines.
fn run(folder: &Path, words: &[&OsStr]) -> (Option<i32>, String) {
    let output = Command::new(trunkline()).args(words).current_dir(folder).output();
    let output = output.expect("the command line can be started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn check(folder: &Folder, file: &Path) -> (Option<i32>, String) {
    run(folder.path(), &["check".as_ref(), "--config".as_ref(), file.as_ref()])
}

fn with_marks(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0xfeff]).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_configuration_in_another_editors_form_is_read() {
    let folder = Folder::new();
    let forms = [
        ("with a byte order mark", format!("\u{feff}{GOOD}")),
        ("with the line ends of Windows", GOOD.replace('\n', "\r\n")),
        ("without a last line end", GOOD.trim_end().to_owned()),
        ("with both", format!("\u{feff}{}", GOOD.replace('\n', "\r\n"))),
    ];
    for (what, text) in forms {
        let file = folder.write("alpha.toml", text);
        assert_eq!(check(&folder, &file).0, Some(0), "{what}: {}", check(&folder, &file).1);
    }
}

#[test]
fn a_configuration_that_is_no_text_is_refused_with_one_line() {
    let folder = Folder::new();
    let utf16 = with_marks(GOOD);
    let forms = [
        ("UTF-16", utf16),
        ("zeros behind it", [GOOD.as_bytes(), &[0; 3]].concat()),
        ("another character set", [GOOD.as_bytes(), b"# caf\xe9\n"].concat()),
        ("the line ends of old Macs", GOOD.replace('\n', "\r").into_bytes()),
    ];
    for (what, bytes) in forms {
        let file = folder.write("alpha.toml", bytes);
        let (code, said) = check(&folder, &file);
        assert_eq!(code, Some(1), "{what}: {said}");
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
        assert!(said.contains("alpha.toml"), "{what}: {said}");
    }
}

#[test]
fn a_key_file_with_another_line_end_is_the_same_key_and_with_anything_else_is_refused() {
    let folder = Folder::new();
    let key = |name: &str| run(folder.path(), &["key".as_ref(), name.as_ref()]);
    let (code, said) = key("alpha.key");
    assert_eq!(code, Some(0), "{said}");
    let (_, public) = key("alpha.key");
    let text = fs::read_to_string(folder.path().join("alpha.key")).expect("it is ours");
    let text = text.trim();
    let write = |content: &str| {
        let file = folder.write("other.key", content);
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
        key("other.key")
    };
    for content in [format!("{text}\r\n"), text.to_owned()] {
        assert_eq!(write(&content), (Some(0), public.clone()), "{content:?}");
    }
    for content in [format!("\u{feff}{text}\n"), text.trim_end_matches('=').to_owned()] {
        let (code, said) = write(&content);
        assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains("other.key") && !said.contains(text), "{said}");
    }
}

#[test]
fn a_plugins_file_may_have_any_name() {
    let folder = Folder::new();
    let names: [&[u8]; 5] =
        [b"lib e%s 'q'.so", b"\xff\xfe.so", b"a\nb.so", b"100%d.so", b"\x1b[2J.so"];
    for name in names {
        let name = OsStr::from_bytes(name);
        fs::copy(plugin("echo"), folder.path().join(name)).expect("a new file");
        let (code, said) = run(folder.path(), &["check".as_ref(), name]);
        assert_eq!((code, said.lines().count()), (Some(0), 1), "{name:?}: {said:?}");
        let escaped = said.trim_end().chars().all(|c| !c.is_control());
        assert!(escaped && said.contains("echo"), "{name:?}: {said:?}");
    }
}
