//! The command line: keys, wrong usage, exit codes, and one line for each error.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;

/// Exit code, stdout, stderr.
type Said = (i32, String, String);

fn say(arguments: &[&str], folder: &Path) -> Said {
    let output = Command::new(trunkline()).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_usage_prints_one_line_and_exits_with_2() {
    let folder = Folder::new();
    for (arguments, why) in [
        (&[][..], "a command is missing"),
        (&["frob"], "unrecognized subcommand 'frob'"),
        (&["statsu"], "unrecognized subcommand 'statsu'; a similar subcommand exists: 'status'"),
        (
            &["check", "--confg", "x"],
            "unexpected argument '--confg' found; a similar argument exists: '--config'",
        ),
        (&["run", "--config"], "a value is required for '--config <FILE>' but none was supplied"),
        (&["explain", "a"], "the following required arguments were not provided: <TO>"),
        (
            &["status", "--config", "a", "--server", "unix:b"],
            "the argument '--config <FILE>' cannot be used with '--server <ADDRESS>'",
        ),
        (
            &["host", "--server", "unix:a"],
            "the following required arguments were not provided: --plugin <FILE.so>...",
        ),
    ] {
        let (code, stdout, stderr) = say(arguments, folder.path());
        let line = format!("trunkline: usage: {why}; see `trunkline --help`\n");
        assert_eq!((code, stdout.as_str(), stderr), (2, "", line), "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let folder = Folder::new();
    let (code, stdout, stderr) = say(&["--help"], folder.path());
    assert_eq!((code, stderr.as_str()), (0, ""));
    for command in ["run", "host", "check", "status", "explain", "key", "stop"] {
        assert!(stdout.contains(&format!("\n  {command} ")), "{command} is not in\n{stdout}");
        let (code, stdout, _) = say(&[command, "--help"], folder.path());
        assert!(code == 0 && stdout.contains("Usage: trunkline"), "{command} --help: {stdout}");
    }
    let (code, stdout, _) = say(&["--version"], folder.path());
    assert_eq!((code, stdout.starts_with("trunkline ")), (0, true), "{stdout}");
}

#[test]
fn a_key_is_made_once_and_only_its_public_half_is_shown() {
    let folder = Folder::new();
    let (code, first, stderr) = say(&["key", "a.key"], folder.path());
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stderr, "trunkline: a.key: made a new key; keep it secret\n");
    let file = folder.path().join("a.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!((secret.len(), first.len()), (45, 45), "base64 of 32 bytes and a line end");
    assert_ne!(secret, first, "the secret must not be shown");
    let again = say(&["key", "a.key"], folder.path());
    assert_eq!(again, (0, first.clone(), String::new()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret, "a key was overwritten");
    let (_, other, _) = say(&["key"], folder.path());
    assert_ne!(other, first, "each key is another one");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "only a.key and trunkline.key may be left: {names:?}");
}

#[test]
fn an_invalid_key_file_is_refused_and_not_modified() {
    let folder = Folder::new();
    let not_a_key = "not a key: the base64 of 32 bytes was expected; name another file";
    for (content, mode, why) in [
        ("", 0o600, not_a_key),
        ("AAAA\n", 0o600, not_a_key),
        ("\u{fffd}", 0o600, not_a_key),
        (&"A".repeat(100), 0o600, not_a_key),
        ("secret", 0o644, "others may read it (mode 644); use `chmod 600 bad.key`"),
        ("secret", 0o620, "others may read it (mode 620); use `chmod 600 bad.key`"),
    ] {
        let file = folder.write("bad.key", content);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = say(&["key", "bad.key"], folder.path());
        assert_eq!(said, (1, String::new(), format!("trunkline: bad.key: {why}\n")));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content, "the file was changed");
    }
    let (code, _, stderr) = say(&["key", "."], folder.path());
    assert_eq!((code, stderr.as_str()), (1, "trunkline: .: not a file; name another one\n"));
    let (code, _, stderr) = say(&["key", "no/such.key"], folder.path());
    assert_eq!(code, 1);
    assert!(stderr.starts_with("trunkline: no/such.key: cannot be made: "), "{stderr}");
}

#[test]
fn processes_that_race_to_make_a_key_agree() {
    let folder = Folder::new();
    let start = |_| {
        let mut command = Command::new(trunkline());
        command.args(["key", "a.key"]).current_dir(folder.path());
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..16).map(start).collect();
    let mut keys: Vec<String> = children
        .into_iter()
        .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
        .collect();
    keys.dedup();
    assert_eq!(keys.len(), 1, "one key must win: {keys:?}");
}

#[test]
fn a_wrong_server_address_prints_one_line() {
    let folder = Folder::new();
    let only_unix = "only a unix address is possible, such as unix:alpha.sock";
    for (address, why) in [
        ("net:localhost:80~noauth", only_unix),
        ("foo:bar", "the transport `foo` is unknown; known are net and unix"),
        ("unix:", "a path is missing"),
        (
            "/run/alpha.sock",
            "a transport's name begins with a-z, not '/' at character 1; write \
             unix:/run/alpha.sock",
        ),
        ("", "a transport or transform is missing at character 1"),
    ] {
        let said = say(&["status", "--server", address], folder.path());
        let line = format!("trunkline: --server: {address:?}: {why}\n");
        assert_eq!(said, (1, String::new(), line));
    }
}

#[test]
fn check_reports_all_plugin_files_that_do_not_load() {
    let folder = Folder::new();
    folder.write("text.so", "this is not a plugin");
    let (code, stdout, stderr) = say(&["check", "text.so", "none.so"], folder.path());
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "one line for each file: {stderr}");
    assert!(lines[0].contains("text.so") && lines[1].contains("none.so"), "{stderr}");
}

#[test]
fn check_prints_name_and_version_of_a_valid_plugin() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let line = format!("ok: {}: echo version 1\n", echo.display());
    let said = say(&["check", echo.to_str().unwrap()], folder.path());
    assert_eq!(said, (0, line, String::new()));
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let folder = Folder::new();
    say(&["key", "a.key"], folder.path());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(trunkline());
    command.args(["key", "a.key"]).current_dir(folder.path()).stdout(writer);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
