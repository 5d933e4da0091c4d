//! Configuration files: what is wrong is told all at once, with lines, and what is right is taken.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;

const KEY: &str = "DTNmX+4SjsgZ7xyDh5xxmNtFqa6pWi5Qtw7cE8aR9TQ=";

/// A file on which nothing is wrong, as the first lines of others.
const GOOD: &str = "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\n";

/// What is wrong, the file, and the lines that must be told, without the name of the file.
/// `DIR` stands for the folder of the file, `KEY` for some key.
const BAD: &[(&str, &str, &[&str])] = &[
    ("nothing in it", "", &[": [server] is missing; add it, with a `name` and a `key`"]),
    (
        "missing keys",
        "# a comment\n[server]\n",
        &[
            "2: [server]: `name` is missing; add `name = \"alpha\"`",
            "2: [server]: `key` is missing; add `key = \"alpha.key\"`",
        ],
    ),
    (
        "unknown keys, each with a suggestion",
        "{GOOD}lisen = []\ninsecure_loopback = true\nquux = 1\n[limit]\n[[plugn]]\n",
        &[
            "4: [server]: unknown key `lisen`; did you mean `listen`?",
            "5: [server]: unknown key `insecure_loopback`; did you mean `insecure-loopback`?",
            "6: [server]: unknown key `quux`; known are name, key, state, accept, \
             insecure-loopback, listen, heartbeat-ms, dead-after-ms, network, announce",
            "7: file: unknown key `limit`; did you mean `limits`?",
            "8: file: unknown key `plugn`; did you mean `plugin`?",
        ],
    ),
    (
        "wrong types",
        "[server]\nname = 1\nkey = true\nlisten = \"unix:a\"\ninsecure-loopback = \"yes\"\n\
         heartbeat-ms = 1.5\naccept = []\n[plugin]\npath = \"a\"\n",
        &[
            "2: `name`: expected a string, found a whole number",
            "3: `key`: expected a string, found true or false",
            "4: `listen`: expected a list of strings, found a string",
            "5: `insecure-loopback`: expected true or false, found a string",
            "6: `heartbeat-ms`: expected a whole number, found a number with a fraction",
            "7: `accept`: expected a string, found a list",
            "8: `plugin`: write [[plugin]], with two brackets",
        ],
    ),
    (
        "bad addresses",
        "{GOOD}insecure-loopback = true\nlisten = [\n  \"x y\",\n  \"net:localhost\",\n  \
         \"net:127.0.0.1:65536~noauth\",\n  \"net:0.0.0.0:1~noauth\",\n  \
         \"net:127.0.0.1:1~shs\",\n  \"net:127.0.0.1:1\",\n  \"onion:x:1\",\n  \
         \"unix:no/folder\",\n  5,\n]\n",
        &[
            "6: `listen`: \"x y\": a transport's name holds only a-z 0-9 -, not ' ' at character 2",
            "7: `listen`: \"net:localhost\": a host or a port is missing",
            "8: `listen`: \"net:127.0.0.1:65536~noauth\": `65536` is not a port from 1 to 65535",
            "9: `listen`: \"net:0.0.0.0:1~noauth\": `noauth` is for unix sockets and loopback \
             only; it would let in whoever gets there",
            "10: `listen`: \"net:127.0.0.1:1~shs\": `~shs`, which `net` means by itself, does not \
             work yet; use a unix address, or `~noauth` on loopback",
            "11: `listen`: \"net:127.0.0.1:1\": `~shs`, which `net` means by itself, does not \
             work yet; use a unix address, or `~noauth` on loopback",
            "12: `listen`: \"onion:x:1\": the transport `onion` is not known; known are net and \
             unix",
            "13: `listen`: \"unix:no/folder\": there is no folder DIR/no; make it",
            "14: `listen`: expected a list of strings, found a whole number",
        ],
    ),
    (
        "loopback without the permission",
        "{GOOD}listen = [\"net:127.0.0.1:0~noauth\"]\n[[peer]]\naddress = \"net:[::1]:5~noauth\"\n",
        &[
            "4: `listen`: \"net:127.0.0.1:0~noauth\": every user of this machine could link as \
             anybody; if you want that, add `insecure-loopback = true` to [server]",
            "6: `address`: \"net:[::1]:5~noauth\": every user of this machine could link as \
             anybody; if you want that, add `insecure-loopback = true` to [server]",
        ],
    ),
    (
        "a port to dial",
        "{GOOD}insecure-loopback = true\n[[peer]]\naddress = \"net:127.0.0.1:0~noauth\"\n",
        &["6: `address`: \"net:127.0.0.1:0~noauth\": `0` is not a port from 1 to 65535"],
    ),
    (
        "double addresses, peers and names",
        "{GOOD}listen = [\"unix:a\", \"unix:./a;unix:a~noauth\"]\n[[peer]]\nkey = \"KEY\"\n\
         address = \"unix:b\"\n[[peer]]\nkey = \"KEY\"\n[[peer]]\naddress = \"unix:b\"\n[[peer]]\n\
         [[plugin]]\npath = \"DIR/plugin.so\"\nname = \"p\"\n[[plugin]]\npath = \"plugin.so\"\n\
         name = \"p\"\n",
        &[
            "4: `listen`: \"unix:./a;unix:a~noauth\": given twice; remove one",
            "8: [[peer]]: the key KEY is that of line 5; remove one",
            "10: [[peer]]: the address unix:DIR/b~noauth is that of line 5; remove one",
            "12: [[peer]]: says nothing; add its `key`, its `address`, or both",
            "16: [[plugin]]: the name `p` is that of line 13; give one of them another `name`",
        ],
    ),
    (
        "keys of later versions",
        "{GOOD}network = \"x\"\nannounce = []\n[[peer]]\nkey = \"KEY\"\nrole = \"host\"\n\
         [[plugin]]\npath = \"plugin.so\"\nplacement = \"process\"\nadvertise = [\"unix\"]\n\
         allow = [\"links\"]\nrestart = \"on-failure\"\n[host]\n",
        &[
            "4: `network`: does not work yet; remove it: servers of every network can link",
            "5: `announce`: does not work yet; remove it: only addresses on this machine work \
             so far",
            "8: `role`: \"host\": hosts do not work yet",
            "11: `placement`: \"process\": does not work yet; only \"inline\" does",
            "12: `advertise`: does not work yet; remove it: channels go over links so far",
            "13: `allow`: \"links\": does not work yet; remove it",
            "14: `restart`: \"on-failure\": does not work yet; only \"never\" does",
            "15: [host]: hosts do not work yet; write [server], for `trunkline run`",
        ],
    ),
    (
        "wrong values",
        "[server]\nname = \" a\\n\"\nkey = \"no/folder.key\"\nstate = \"plugin.so\"\n\
         accept = \"listd\"\nheartbeat-ms = 0\n[[peer]]\nkey = \"AAAA\"\nrole = \"friend\"\n\
         [[plugin]]\npath = \"\"\nname = \"Echo\"\nplacement = \"inlin\"\nexpose = \"all\"\n\
         allow = [\"root\"]\nrestart = \"always\"\nsha256 = \"é\"\n[[plugin]]\n\
         path = \"none.so\"\nrequired = true\nexpose = [\"x\"]\n",
        &[
            "2: `name`: \" a\\n\": a server's name has 1 to 64 bytes, no control characters, no \
             space around it",
            "3: `key`: \"no/folder.key\": there is no such folder; make it, or name another file",
            "4: `state`: \"plugin.so\": this is not a folder; name another one",
            "5: `accept`: \"listd\": not a known value; did you mean `listed`?",
            "6: `heartbeat-ms`: 0 is not from 1 to 3600000",
            "8: `key`: \"AAAA\": a key is the standard base64 of 32 bytes (44 characters ending \
             in =); `trunkline key FILE` prints one",
            "9: `role`: \"friend\": known are server, host",
            "11: `path`: \"\": a file is needed, such as \"libecho.so\"",
            "12: `name`: \"Echo\": a name begins with a letter a-z, this one with 'E'",
            "13: `placement`: \"inlin\": not a known value; known are inline, thread, process",
            "14: `expose`: \"all\": not a known value; known are local, peers",
            "15: `allow`: \"root\": not a known value; known are links",
            "16: `restart`: \"always\": not a known value; known are never, on-failure",
            "17: `sha256`: \"é\": a SHA-256 has 64 hexadecimal digits; `sha256sum FILE` prints it",
            "19: `path`: \"none.so\": there is no file DIR/none.so; build it first",
            "21: `expose`: \"x\": a key is the standard base64 of 32 bytes (44 characters ending \
             in =); `trunkline key FILE` prints one",
        ],
    ),
    (
        "limits",
        "{GOOD}heartbeat-ms = 500\ndead-after-ms = 500\n[limits]\nlinks = 0\nhalf-open = -1\n\
         stream-window = 1_048_576\nstream-window-max = 65536\nlink-window = 9999999999999999999\n\
         redial-ms = 50000\nlimks = 3\n",
        &[
            "1: [server]: `dead-after-ms` must be more than `heartbeat-ms`; these are 500 and 500",
            "6: [limits]: `stream-window` <= `stream-window-max` <= `link-window` must hold; \
             these are 1048576, 65536, 67108864",
            "6: [limits]: `redial-max-ms` must not be less than `redial-ms`",
            "7: `links`: 0 is not from 1 to 1000000",
            "8: `half-open`: -1 is not from 1 to 1000000",
            "11: `link-window`: 9999999999999999999 is not from 65536 to 1073741824",
            "13: [limits]: unknown key `limks`; did you mean `links`?",
        ],
    ),
    (
        "a plugin's configuration that JSON cannot say",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\n[plugin.config]\nx = [1.5, { y = nan }]\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"b\"\nconfig = 3\n",
        &[
            "7: [plugin.config]: nan: a plugin cannot be handed this number; write it as a string",
            "11: `config`: expected a table; write [plugin.config] and its keys below",
        ],
    ),
    (
        "a key twice, a broken line, and a wrong value behind it",
        "[server]\nname = \"a\"\nname = \"b\"\nfoo = = 1\nkey = \"a.key\"\naccept = \"x\"\n",
        &[
            "3: `name`: given twice; remove one",
            "4: syntax: extra `=`, expected nothing",
            "6: `accept`: \"x\": not a known value; known are listed, anyone",
        ],
    ),
    (
        "a list without an end is one problem, not ten",
        "{GOOD}listen = [\"unix:a\"\n[[plugin]]\npath = \"a\"\n[plugin.config]\nx = 1\n",
        &["4: syntax: this list does not end; add a `]`"],
    ),
];

#[test]
fn all_that_is_wrong_with_a_file_is_told_at_once_with_lines() {
    for (what, text, expected) in BAD {
        let folder = Folder::new();
        let place = folder.path().to_str().unwrap();
        let fill = |text: &str| text.replace("DIR", place).replace("KEY", KEY);
        folder.write("plugin.so", "this is not a plugin, but it is there");
        let file = folder.write("bad.toml", fill(&text.replace("{GOOD}", GOOD)));
        let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
        let prefix = format!("trunkline: {}:", file.display());
        let own = |line: &&str| !line.contains("plugin.so: ");
        let told: Vec<&str> = told.iter().map(|line| line.strip_prefix(&prefix).unwrap()).collect();
        // What the loader says about a file that is no plugin is tested with the loader.
        let told: Vec<&str> = told.into_iter().filter(own).collect();
        let expected: Vec<String> =
            expected.iter().map(|line| fill(line.strip_prefix(':').unwrap_or(line))).collect();
        assert_eq!(told, expected, "{what}: these were told, those should be\n{text}");
    }
}

#[test]
fn a_socket_path_that_is_too_long_is_told_before_anything_starts() {
    let folder = Folder::new();
    let long = "x".repeat(100);
    let file = folder.write("a.toml", format!("{GOOD}listen = [\"unix:{long}\"]\n"));
    let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    let path = folder.path().join(&long);
    let bytes = path.to_str().unwrap().len();
    let expected = format!(
        "trunkline: {}:4: `listen`: \"unix:{long}\": {} has {bytes} bytes, a socket's path has at \
         most 107; use a shorter one",
        file.display(),
        path.display()
    );
    assert_eq!(told, [expected]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let folder = Folder::new();
    let latin1 = folder.write("latin1.toml", b"[server]\nname = \"\xfc\"\n");
    let missing = folder.path().join("none.toml");
    let path = folder.path().to_path_buf();
    for (file, why) in [
        (&missing, ": no such file; name one with --config"),
        (&path, ": not a file; name a configuration file with --config"),
        (&latin1, ":2: not UTF-8 text; is this a configuration file?"),
    ] {
        for command in ["check", "run", "stop", "status"] {
            let told = told(Command::new(trunkline()).arg(command).arg("--config").arg(file), 1);
            assert_eq!(told, [format!("trunkline: {}{why}", file.display())], "{command}");
        }
    }
}

#[test]
fn run_refuses_a_wrong_file_with_the_same_lines_as_check() {
    let folder = Folder::new();
    let file = folder.write("a.toml", "[server]\nnane = \"a\"\n[[peer]]\n");
    let check = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    let run = told(Command::new(trunkline()).arg("run").arg("--config").arg(&file), 1);
    assert_eq!(check, run);
    assert_eq!(check.len(), 4, "{check:?}");
}

#[test]
fn a_file_with_every_key_is_taken_and_an_unknown_transport_is_noted_only() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}state = \"alpha.state\"\nlisten = [\"unix:alpha.state/a.sock~noauth\", \
         \"net:127.0.0.1:0~noauth;onion:x:80\"]\naccept = \"anyone\"\ninsecure-loopback = true\n\
         heartbeat-ms = 100\ndead-after-ms = 300\n[[peer]]\nkey = \"{KEY}\"\n\
         address = \"unix:b.sock;net:localhost:9~noauth\"\nrole = \"server\"\nkeep = true\n\
         [limits]\nhalf-open = 1\nhandshake-ms = 1000\nlinks = 2\nstreams-per-link = 3\n\
         plugins-per-peer = 4\nstream-window = 65536\nstream-window-max = 65536\n\
         link-window = 65536\nredial-ms = 1\nredial-max-ms = 1\n"
    );
    let file = folder.write("good.toml", text);
    let output =
        Command::new(trunkline()).arg("check").arg("--config").arg(&file).output().unwrap();
    let (stdout, stderr) = (text_of(&output.stdout), text_of(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let place = file.display();
    let note = "`listen`: skipped onion:x:80: the transport `onion` is not known; known are net \
                and unix";
    assert_eq!(
        stdout,
        format!(
            "note: {place}:5: {note}\n\
             ok: {place}: server alpha with 0 plugins, 2 addresses, 1 peer\n"
        )
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "check must make no key, folder or socket: {left:?}");
}

#[test]
fn check_loads_the_plugin_files_and_finds_double_built_in_names() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let table = format!("[[plugin]]\npath = {echo:?}\n");
    let renamed = format!("{table}name = \"other\"\n");
    let good = folder.write("good.toml", format!("{GOOD}{table}{renamed}"));
    let output =
        Command::new(trunkline()).arg("check").arg("--config").arg(&good).output().unwrap();
    let stdout = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
    assert!(stdout.contains("2 plugins"), "{stdout}");
    let text = format!("{GOOD}{table}{renamed}{table}nane = 1\n");
    let file = folder.write("bad.toml", text);
    let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    let place = file.display();
    let expected = [
        "9: [[plugin]]: the name `echo` is that of line 4; give one of them another `name`",
        "11: [[plugin]]: unknown key `nane`; did you mean `name`?",
    ];
    assert_eq!(told, expected.map(|line| format!("trunkline: {place}:{line}")));
}

#[test]
fn check_tells_of_every_plugin_file_that_does_not_load_in_its_line() {
    let folder = Folder::new();
    folder.write("text.so", "not a plugin");
    folder.write("empty.so", "");
    let hash = "0".repeat(64);
    let text = format!(
        "{GOOD}[[plugin]]\npath = \"text.so\"\n[[plugin]]\npath = \"empty.so\"\n[[plugin]]\n\
         path = \".\"\n[[plugin]]\npath = \"none.so\"\n[[plugin]]\npath = {:?}\n\
         sha256 = \"{hash}\"\n",
        plugin("echo")
    );
    let file = folder.write("bad.toml", text);
    let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    assert_eq!(told.len(), 5, "one line for each file: {told:#?}");
    for (line, name) in told.iter().zip([
        "4: DIR/text.so",
        "6: DIR/empty.so",
        "8: DIR/.",
        "10: DIR/none.so",
        "12: ",
    ]) {
        let name = name.replace("DIR", folder.path().to_str().unwrap());
        assert!(line.starts_with(&format!("trunkline: {}:{name}", file.display())), "{line}");
    }
}

/// The lines on stderr of a command that must end with this code.
fn told(command: &mut Command, code: i32) -> Vec<String> {
    let output = command.output().unwrap();
    let stderr = text_of(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?} said:\n{stderr}");
    stderr.lines().map(Into::into).collect()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
