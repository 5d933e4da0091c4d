//! Configuration files: all errors are reported at once, with lines, and valid files are read.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use trunkline::config::{
    Advertise, Blocked, Config, HostConfig, PeerRole, Permission, Placement, Restart,
};
use trunkline_core::address::Endpoint;
use trunkline_core::key::Key;
use trunkline_core::limits::Limits;
use trunkline_tests::binaries::{plugin, trunkline};
use trunkline_tests::folder::Folder;

const KEY: &str = "DTNmX+4SjsgZ7xyDh5xxmNtFqa6pWi5Qtw7cE8aR9TQ=";

const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const THIRD: &str = "//////////////////////////////////////////8=";

/// A valid file, as the first lines of others.
const GOOD: &str = "[server]\nname = \"alpha\"\nkey = \"alpha.key\"\n";

/// As [`GOOD`], for a host.
const HOST: &str = "[host]\nname = \"gamma\"\nkey = \"gamma.key\"\nserver = \"unix:alpha.sock\"\n";

/// The errors, the file, and the lines that must be reported, without the name of the file. `DIR`
/// stands for the folder of the file, `{KEY}` and `{OTHER}` for two keys.
const BAD: &[(&str, &str, &[&str])] = &[
    (
        "nothing in it",
        "",
        &[": [server] is missing; add it, with a `name` and a `key`; or [host], for `trunkline \
           host`"],
    ),
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
            "6: [server]: unknown key `quux`; known are name, key, state, network, \
             accept, insecure-loopback, listen, announce, heartbeat-ms, dead-after-ms",
            "7: file: unknown key `limit`; did you mean `limits`?",
            "8: file: unknown key `plugn`; did you mean `plugin`?",
        ],
    ),
    (
        "plugins that cannot be confined",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\nname = \"a\"\n[plugin.confine]\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"b\"\n\
         placement = \"thread\"\n[plugin.confine]\nprocesses = 1\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"c\"\n\
         confine = 1\n",
        &[
            "7: [plugin.confine]: only a process of the plugin's own can be confined; remove this \
             table, or add `placement = \"process\"`",
            "12: [plugin.confine]: only a process of the plugin's own can be confined; remove this \
             table, or add `placement = \"process\"`",
            "17: `confine`: expected a table, found a whole number",
        ],
    ),
    (
        "bounds out of range, unknown or twice",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\nname = \"a\"\nplacement = \"process\"\n\
         [plugin.confine]\nreed = []\n\
         read = [\"/usr\", \"/usr\", \"\"]\nwrite = [\"data\", \"data\"]\nnetwork = \"loopbak\"\n\
         memory-mib = 1\nprocesses = 0\nopen-files = 3\ncpu-percent = 0\nuser = \"\"\n\
         best-effort = 1\n",
        &[
            "9: [plugin.confine]: unknown key `reed`; did you mean `read`?",
            "10: `read`: \"/usr\": given twice; remove one",
            "10: `read`: \"\": a file or a folder is needed, such as \"/usr/share/x\"",
            "11: `write`: \"data\": given twice; remove one",
            "12: `network`: \"loopbak\": not a known value; did you mean `loopback`?",
            "13: `memory-mib`: 1 is not from 64 to 1048576",
            "14: `processes`: 0 is not from 1 to 4096",
            "15: `open-files`: 3 is not from 64 to 1048576",
            "16: `cpu-percent`: 0 is not from 1 to 100000",
            "17: `user`: \"\": not the name of a user; `getent passwd` lists them",
            "18: `best-effort`: expected true or false, found a whole number",
        ],
    ),
    (
        "places where a confined plugin cannot be reached",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\nname = \"a\"\nplacement = \"process\"\n\
         advertise = [\"unix\", \"net:10.0.0.1:7\"]\n[plugin.confine]\n",
        &[
            "8: `advertise`: \"unix\": a confined plugin opens no unix sockets; remove this: its \
             channels go through the server",
            "8: `advertise`: \"net:10.0.0.1:7\": nobody can reach this plugin there; remove this, \
             or write `network = \"any\"` in [plugin.confine]",
        ],
    ),
    (
        "a plugin of a host that is to be confined",
        "{HOST}[[plugin]]\npath = \"plugin.so\"\nname = \"a\"\n[plugin.confine]\n",
        &["8: [plugin.confine]: a host's plugins run in the host itself; remove this table"],
    ),
    (
        "a key with control characters, which would reach the terminal",
        "{GOOD}\"k\\u001b[2J\\n\" = 1\n",
        &["4: [server]: unknown key `k\\u{1b}[2J\\n`; known are name, key, state, network, \
             accept, insecure-loopback, listen, announce, heartbeat-ms, dead-after-ms"],
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
         \"net:0.0.0.0:1~shs:{KEY}\",\n  \"unix:x~shs:{KEY}\",\n  \"onion:x:1\",\n  \
         \"unix:no/folder\",\n  5,\n]\n",
        &[
            "6: `listen`: \"x y\": a transport's name holds only a-z 0-9 -, not ' ' at character 2",
            "7: `listen`: \"net:localhost\": a host or a port is missing",
            "8: `listen`: \"net:127.0.0.1:65536~noauth\": `65536` is not a port from 1 to 65535",
            "9: `listen`: \"net:0.0.0.0:1~noauth\": `noauth` is for unix sockets and loopback \
             only; anyone who can connect would be let in",
            "10: `listen`: \"net:0.0.0.0:1~shs:{KEY}\": a server listens with its own key; write \
             `~shs`",
            "11: `listen`: \"unix:x~shs:{KEY}\": a server listens with its own key; write `~shs`",
            "12: `listen`: \"onion:x:1\": the transport `onion` is unknown; known are net and \
             unix",
            "13: `listen`: \"unix:no/folder\": there is no folder DIR/no; make it",
            "14: `listen`: expected a list of strings, found a whole number",
        ],
    ),
    (
        "loopback without the permission",
        "{GOOD}listen = [\"net:127.0.0.1:0~noauth\"]\n[[peer]]\naddress = \"net:[::1]:5~noauth\"\n",
        &[
            "4: `listen`: \"net:127.0.0.1:0~noauth\": every user of this machine could link under \
             any identity; if you want that, add `insecure-loopback = true` to [server]",
            "6: `address`: \"net:[::1]:5~noauth\": every user of this machine could link under \
             any identity; if you want that, add `insecure-loopback = true` to [server]",
        ],
    ),
    (
        "a port to dial",
        "{GOOD}insecure-loopback = true\n[[peer]]\naddress = \"net:127.0.0.1:0~noauth\"\n",
        &["6: `address`: \"net:127.0.0.1:0~noauth\": `0` is not a port from 1 to 65535"],
    ),
    (
        "double addresses, peers and names",
        "{GOOD}listen = [\"unix:a\", \"unix:./a;unix:a~noauth\"]\n[[peer]]\nkey = \"{KEY}\"\n\
         address = \"unix:b\"\n[[peer]]\nkey = \"{KEY}\"\n[[peer]]\naddress = \"unix:b\"\n\
         [[peer]]\n[[plugin]]\npath = \"DIR/plugin.so\"\nname = \"p\"\n[[plugin]]\n\
         path = \"plugin.so\"\nname = \"p\"\n",
        &[
            "4: `listen`: \"unix:./a;unix:a~noauth\": given twice; remove one",
            "8: [[peer]]: the key {KEY} is already in line 5; remove one",
            "10: [[peer]]: the address unix:DIR/b~noauth is already in line 5; remove one",
            "12: [[peer]]: `key` and `address` are missing; add one of them, or both",
            "16: [[plugin]]: the name `p` is already in line 13; give one of them another `name`",
        ],
    ),
    (
        "one place with two transforms",
        "{GOOD}insecure-loopback = true\nlisten = [\n  \"unix:a\",\n  \"unix:a~shs\",\n  \
         \"net:127.0.0.1:8008\",\n  \"net:127.0.0.1:8008~noauth\",\n  \
         \"net:127.0.0.1:0~shs\",\n  \"net:127.0.0.1:0~noauth\",\n  \
         \"net:127.0.0.1:0\",\n]\n[[peer]]\nkey = \"{KEY}\"\naddress = \"net:b:1\"\n\
         [[peer]]\nkey = \"{OTHER}\"\naddress = \"net:b:1\"\n",
        &[
            "7: `listen`: \"unix:a~shs\": given twice; remove one",
            "9: `listen`: \"net:127.0.0.1:8008~noauth\": given twice; remove one",
            "12: `listen`: \"net:127.0.0.1:0\": given twice; remove one",
            "17: [[peer]]: the address net:b:1~shs:{OTHER} is already in line 14; remove one",
        ],
    ),
    (
        "peers without the one key that they need",
        "{GOOD}[[peer]]\naddress = \"net:a:1\"\n[[peer]]\naddress = \"unix:b~shs\"\n[[peer]]\n\
         key = \"{KEY}\"\naddress = \"net:c:1~shs:{OTHER}\"\n[[peer]]\n\
         address = \"net:d:1~shs:{KEY};net:e:1~shs:{OTHER}\"\n[[peer]]\nkey = \"x\"\n\
         address = \"net:f:1\"\n[[peer]]\naddress = \"net:g:1~shs:x\"\n[[peer]]\n\
         address = \"net:h:1~shs:{OTHER}\"\n[[peer]]\nkey = \"{OTHER}\"\n",
        &[
            "5: `address`: \"net:a:1\": `~shs`, the default of `net`, needs the server's key; add \
             `key`, or write `~shs:KEY`",
            "7: `address`: \"unix:b~shs\": `~shs`, the default of `net`, needs the server's key; \
             add `key`, or write `~shs:KEY`",
            "10: `address`: \"net:c:1~shs:{OTHER}\": its key is not the peer's `key`; remove one \
             of the two",
            "11: [[peer]]: the key {KEY} is already in line 8; remove one",
            "12: `address`: \"net:d:1~shs:{KEY};net:e:1~shs:{OTHER}\": its alternates name \
             different keys, and must lead to the same place; remove one",
            "14: `key`: \"x\": a key is the standard base64 of 32 bytes (44 characters ending in \
             =); `trunkline key FILE` prints one",
            "17: `address`: \"net:g:1~shs:x\": `shs` needs one key, the base64 of 32 bytes",
            "20: [[peer]]: the key {OTHER} is already in line 18; remove one",
        ],
    ),
    (
        "names of peers",
        "{GOOD}[[peer]]\nkey = \"{KEY}\"\nname = \"b\"\n[[peer]]\nkey = \"{OTHER}\"\n\
         name = \"b\"\n[[peer]]\naddress = \"unix:b\"\nname = \"c\"\n[[peer]]\n\
         key = \"{THIRD}\"\nrole = \"host\"\nname = \"d\"\n",
        &[
            "7: [[peer]]: the name b is already in line 4; remove one",
            "12: `name`: \"c\": a name is bound to a key; add the peer's `key`",
            "16: `name`: \"d\": only a server has a name here; remove this",
        ],
    ),
    (
        "peers that are hosts",
        "{GOOD}[[peer]]\nrole = \"host\"\n[[peer]]\nrole = \"host\"\nkey = \"{KEY}\"\n\
         address = \"net:a:1\"\n[[peer]]\nrole = \"host\"\n\
         address = \"net:b:1~shs:{OTHER}\"\n[[peer]]\nrole = \"hots\"\nkey = \"{OTHER}\"\n",
        &[
            "4: [[peer]]: a host is identified by its key; add its `key`",
            "9: `address`: \"net:a:1\": a host dials its server, which never dials it; remove \
             this",
            "10: [[peer]]: a host is identified by its key; add its `key`",
            "12: `address`: \"net:b:1~shs:{OTHER}\": a host dials its server, which never dials \
             it; remove this",
            "14: `role`: \"hots\": not a known value; did you mean `host`?",
        ],
    ),
    (
        "what cannot be announced",
        "{GOOD}announce = [\n  \"unix:a\",\n  \"net:localhost:1\",\n  \"net:0.0.0.0:1\",\n  \
         \"net:fe80::1%eth0:1\",\n  \"net:127.0.0.1:1~noauth\",\n  \"net:10.0.0.1:1~noauth\",\n  \
         \"net:a.example:1~shs:{KEY}\",\n  \"net:a.example:0\",\n  \"net:a.example:1\",\n  \
         \"net:a.example:1~shs\",\n  \"net:10.0.0.1:1;net:10.0.0.2:1\",\n]\n",
        &[
            "5: `announce`: \"unix:a\": this cannot be reached from another machine; name a `net` \
             address that others can dial",
            "6: `announce`: \"net:localhost:1\": this cannot be reached from another machine; \
             name a `net` address that others can dial",
            "7: `announce`: \"net:0.0.0.0:1\": this cannot be reached from another machine; name \
             a `net` address that others can dial",
            "8: `announce`: \"net:fe80::1%eth0:1\": this cannot be reached from another machine; \
             name a `net` address that others can dial",
            "9: `announce`: \"net:127.0.0.1:1~noauth\": this cannot be reached from another \
             machine; name a `net` address that others can dial",
            "10: `announce`: \"net:10.0.0.1:1~noauth\": `noauth` is for unix sockets and loopback \
             only; anyone who can connect would be let in",
            "11: `announce`: \"net:a.example:1~shs:{KEY}\": a server is dialled with its own key; \
             write `~shs`",
            "12: `announce`: \"net:a.example:0\": `0` is not a port from 1 to 65535",
            "14: `announce`: \"net:a.example:1~shs\": given twice; remove one",
        ],
    ),
    (
        "where a plugin runs and is reached",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\nrestart = \"on-failure\"\n[[plugin]]\n\
         path = \"plugin.so\"\nname = \"b\"\nplacement = \"thread\"\nrestart = \"on-failure\"\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"c\"\nplacement = \"proces\"\n\
         restart = \"on-failure\"\nallow = [\"links\", \"links\"]\nadvertise = [\n  \"unix\",\n  \
         \"unix\",\n  \"unix:c.sock\",\n  \"net:127.0.0.1:0~noauth\",\n  \
         \"net:0.0.0.0:0~noauth\",\n  \"net:0.0.0.0:0~shs:{KEY}\",\n  \"net:0.0.0.0:0\",\n  \
         \"net:0.0.0.0:0~shs\",\n  \"net:0.0.0.0:1\",\n  \"tcp\",\n]\n",
        &[
            "6: `restart`: \"on-failure\": only a plugin in a process of its own is restarted; \
             remove this, or add `placement = \"process\"`",
            "11: `restart`: \"on-failure\": only a plugin in a process of its own is restarted; \
             remove this, or add `placement = \"process\"`",
            "15: `placement`: \"proces\": not a known value; did you mean `process`?",
            "17: `allow`: \"links\": given twice; remove one",
            "20: `advertise`: \"unix\": given twice; remove one",
            "21: `advertise`: \"unix:c.sock\": the path of a plugin's socket is chosen by its \
             host; write \"unix\"",
            "22: `advertise`: \"net:127.0.0.1:0~noauth\": over `net` both sides prove their \
             keys; write `~shs`, or nothing",
            "23: `advertise`: \"net:0.0.0.0:0~noauth\": `noauth` is for unix sockets and loopback \
             only; anyone who can connect would be let in",
            "24: `advertise`: \"net:0.0.0.0:0~shs:{KEY}\": a plugin is reached with its own key; \
             write `~shs`",
            "26: `advertise`: \"net:0.0.0.0:0~shs\": given twice; remove one",
            "28: `advertise`: \"tcp\": the transport `tcp` is unknown; known are net and unix",
        ],
    ),
    (
        "what happens when a plugin blocks",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\nblocked = \"end\"\n[[plugin]]\n\
         path = \"plugin.so\"\nname = \"b\"\nplacement = \"thread\"\nblocked = \"end\"\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"c\"\nplacement = \"process\"\n\
         blocked = \"ends\"\n",
        &[
            "6: `blocked`: \"end\": only a process of the plugin's own can be ended; remove this, \
             or add `placement = \"process\"`",
            "11: `blocked`: \"end\": only a process of the plugin's own can be ended; remove this, \
             or add `placement = \"process\"`",
            "16: `blocked`: \"ends\": not a known value; did you mean `end`?",
        ],
    ),
    (
        "what happens when a plugin of a host blocks",
        "{HOST}[[plugin]]\npath = \"plugin.so\"\nblocked = \"report\"\n[[plugin]]\n\
         path = \"plugin.so\"\nname = \"b\"\nblocked = \"end\"\n",
        &["11: `blocked`: \"end\": a host is not ended for one of its plugins; remove this"],
    ),
    (
        "a file of a server and of a host",
        "{GOOD}{HOST}[[peer]]\n",
        &[
            "4: [host]: the file has [server] too, in line 1; move one to a file of its own",
            "8: [[peer]]: `key` and `address` are missing; add one of them, or both",
        ],
    ),
    (
        "a host's missing keys",
        "[host]\n",
        &[
            "1: [host]: `name` is missing; add `name = \"gamma\"`",
            "1: [host]: `key` is missing; add `key = \"gamma.key\"`",
            "1: [host]: `server` is missing; add `server = \"unix:alpha.sock\"`",
        ],
    ),
    (
        "a host's wrong values",
        "[host]\nname = \"\"\nkey = \"no/folder.key\"\nstate = \"plugin.so\"\nserver = 1\n\
         network = \"{KEY}{KEY}\"\nlisten = []\ndead-after-ms = 9000\n[[peer]]\nkey = \"{KEY}\"\n\
         [[peer]]\n[[plugin]]\npath = \"plugin.so\"\nplacement = \"process\"\n\
         restart = \"on-failure\"\n[[plugin]]\npath = \"plugin.so\"\nname = \"b\"\n\
         placement = \"thread\"\nrestart = \"never\"\n[limits]\nlinks = 0\n",
        &[
            "1: [host]: `dead-after-ms` must be more than `heartbeat-ms`; these are 9000 and 10000",
            "2: `name`: \"\": a host's name has 1 to 64 bytes, no control characters, no space \
             around it",
            "3: `key`: \"no/folder.key\": there is no such folder; make it, or name another file",
            "4: `state`: \"plugin.so\": this is not a folder; name another one",
            "5: `server`: expected a string, found a whole number",
            "6: `network`: \"{KEY}{KEY}\": a network is the standard base64 of 32 bytes (44 \
             characters ending in =); `openssl rand -base64 32` prints a new one",
            "7: [host]: unknown key `listen`; known are name, key, state, network, server, \
             heartbeat-ms, dead-after-ms",
            "9: [[peer]]: a host links only with its `server`; remove this table",
            "11: [[peer]]: a host links only with its `server`; remove this table",
            "14: `placement`: \"process\": a host's plugins run in the host itself; remove this",
            "15: `restart`: \"on-failure\": a host's plugins are not restarted; remove this",
            "19: `placement`: \"thread\": a host's plugins run in the host itself; remove this",
            "22: `links`: 0 is not from 1 to 1000000",
        ],
    ),
    (
        "a host's server without its key",
        "[host]\nname = \"g\"\nkey = \"g.key\"\nserver = \"net:a:1;unix:b\"\n",
        &["4: `server`: \"net:a:1;unix:b\": `~shs`, the default of `net`, needs the server's \
             key; write `~shs:KEY`"],
    ),
    (
        "a host's server without any key",
        "[host]\nname = \"g\"\nkey = \"g.key\"\nserver = \"net:127.0.0.1:1~noauth\"\n",
        &["4: `server`: \"net:127.0.0.1:1~noauth\": over `net` a host must know its server's \
           key; write `~shs:KEY`, or a unix address"],
    ),
    (
        "a host's server with two keys",
        "[host]\nname = \"g\"\nkey = \"g.key\"\n\
         server = \"net:a:1~shs:{KEY};net:a:2~shs:{OTHER}\"\n",
        &["4: `server`: \"net:a:1~shs:{KEY};net:a:2~shs:{OTHER}\": its alternates name different \
           keys, and must lead to the same place; remove one"],
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
            "9: `role`: \"friend\": not a known value; known are server, host",
            "11: `path`: \"\": a file is needed, such as \"libecho.so\"",
            "12: `name`: \"Echo\": a name must begin with a letter a-z, not 'E'",
            "13: `placement`: \"inlin\": not a known value; did you mean `inline`?",
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
         redial-ms = 50000\nlimks = 3\nnothing-in-common-ms = 0\noutbox = 65535\n\
         control-message = 1048577\nwatchdog-ms = 3600001\n",
        &[
            "1: [server]: `dead-after-ms` must be more than `heartbeat-ms`; these are 500 and 500",
            "6: [limits]: `stream-window` <= `stream-window-max` <= `link-window` must hold; \
             these are 1048576, 65536, 67108864",
            "6: [limits]: `redial-max-ms` must not be less than `redial-ms`",
            "7: `links`: 0 is not from 1 to 1000000",
            "8: `half-open`: -1 is not from 1 to 1000000",
            "11: `link-window`: 9999999999999999999 is not from 65536 to 1073741824",
            "13: [limits]: unknown key `limks`; did you mean `links`?",
            "14: `nothing-in-common-ms`: 0 is not from 1 to 3600000",
            "15: `outbox`: 65535 is not from 65536 to 1073741824",
            "16: `control-message`: 1048577 is not from 65536 to 1048576",
            "17: `watchdog-ms`: 3600001 is not from 1 to 3600000",
        ],
    ),
    (
        "limits on the other side of their ranges",
        "{GOOD}[limits]\noutbox = 1073741825\ncontrol-message = 65535\n",
        &[
            "5: `outbox`: 1073741825 is not from 65536 to 1073741824",
            "6: `control-message`: 65535 is not from 65536 to 1048576",
        ],
    ),
    (
        "a network that is none",
        "{GOOD}network = \"AAAA\"\n",
        &["4: `network`: \"AAAA\": a network is the standard base64 of 32 bytes (44 characters \
           ending in =); `openssl rand -base64 32` prints a new one"],
    ),
    (
        "a plugin's configuration that JSON cannot say",
        "{GOOD}[[plugin]]\npath = \"plugin.so\"\n[plugin.config]\nx = [1.5, { y = nan }]\n\
         [[plugin]]\npath = \"plugin.so\"\nname = \"b\"\nconfig = 3\n",
        &[
            "7: [plugin.config]: nan: this number does not fit in JSON; write it as a string",
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
        "a value that is missing is no second problem at another place",
        "{GOOD}listen = = \"unix:a\"\n",
        &["4: syntax: extra `=`, expected nothing"],
    ),
    (
        "a list without an end is one problem, not ten",
        "{GOOD}listen = [\"unix:a\"\n[[plugin]]\npath = \"a\"\n[plugin.config]\nx = 1\n",
        &["4: syntax: this list does not end; add a `]`"],
    ),
];

#[test]
fn check_reports_all_errors_of_a_file_with_their_lines() {
    for (what, text, expected) in BAD {
        let folder = Folder::new();
        let place = folder.path().to_str().unwrap();
        let fill = |text: &str| {
            let text = text.replace("DIR", place).replace("{KEY}", KEY);
            text.replace("{OTHER}", OTHER).replace("{THIRD}", THIRD)
        };
        folder.write("plugin.so", "this is not a plugin, but it is there");
        let file =
            folder.write("bad.toml", fill(&text.replace("{GOOD}", GOOD).replace("{HOST}", HOST)));
        let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
        let prefix = format!("trunkline: {}:", file.display());
        let own = |line: &&str| !line.contains("plugin.so: ");
        let told: Vec<&str> = told.iter().map(|line| line.strip_prefix(&prefix).unwrap()).collect();
        // The loader's errors for a file that is not a plugin are tested with the loader.
        let told: Vec<&str> = told.into_iter().filter(own).collect();
        let expected: Vec<String> =
            expected.iter().map(|line| fill(line.strip_prefix(':').unwrap_or(line))).collect();
        assert_eq!(told, expected, "{what}: these were told, those should be\n{text}");
    }
}

#[test]
fn a_too_long_socket_path_is_reported_before_the_start() {
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
fn an_unreadable_file_prints_one_line() {
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
fn run_reports_the_same_errors_as_check() {
    let folder = Folder::new();
    let file = folder.write("a.toml", "[server]\nnane = \"a\"\n[[peer]]\n");
    let check = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    let run = told(Command::new(trunkline()).arg("run").arg("--config").arg(&file), 1);
    assert_eq!(check, run);
    assert_eq!(check.len(), 4, "{check:?}");
}

#[test]
fn a_file_with_every_key_is_valid_and_unknown_transports_are_notes() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}state = \"alpha.state\"\nlisten = [\"unix:alpha.state/a.sock~noauth\", \
         \"net:127.0.0.1:0~noauth;onion:x:80\", \"net:0.0.0.0:8008~shs\", \"unix:b~shs\"]\n\
         accept = \"anyone\"\ninsecure-loopback = true\nnetwork = \"{OTHER}\"\n\
         announce = [\"net:a.example:8008\"]\nheartbeat-ms = 100\ndead-after-ms = 300\n\
         [[peer]]\nkey = \"{KEY}\"\naddress = \"unix:b.sock;net:localhost:9~noauth\"\n\
         role = \"server\"\nkeep = true\n[[peer]]\nkey = \"{OTHER}\"\nrole = \"host\"\n\
         [limits]\nhalf-open = 1\nhandshake-ms = 1000\nlinks = 2\nstreams-per-link = 3\n\
         channels-per-plugin = 5\nplugins-per-peer = 4\nstream-window = 65536\n\
         stream-window-max = 65536\nlink-window = 65536\nredial-ms = 1\nredial-max-ms = 1\n\
         nothing-in-common-ms = 1\noutbox = 65536\ncontrol-message = 65536\nwatchdog-ms = 1\n"
    );
    let file = folder.write("good.toml", text);
    let place = file.display();
    let note = "`listen`: skipped onion:x:80: the transport `onion` is unknown; known are net \
                and unix";
    assert_eq!(
        taken(&file),
        format!(
            "note: {place}:5: {note}\n\
             ok: {place}: server alpha with 0 plugins, 4 addresses, 2 peers\n"
        )
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "check must make no key, folder or socket: {left:?}");
}

#[test]
fn a_hosts_file_with_every_key_is_valid() {
    let folder = Folder::new();
    let text = format!(
        "[host]\nname = \"gamma\"\nkey = \"gamma.key\"\nstate = \"gamma.state\"\n\
         server = \"unix:alpha.sock~noauth;net:a.example:8008~shs:{KEY}\"\n\
         network = \"{OTHER}\"\nheartbeat-ms = 100\ndead-after-ms = 300\n[[plugin]]\n\
         path = {:?}\nplacement = \"inline\"\nrestart = \"never\"\nadvertise = [\"unix\"]\n\
         [limits]\nlinks = 2\n",
        plugin("echo")
    );
    let file = folder.write("host.toml", text);
    let ok = "host gamma with 1 plugin, 2 addresses of its server";
    assert_eq!(taken(&file), format!("ok: {}: {ok}\n", file.display()));
}

#[test]
fn a_hosts_plugins_may_use_plugins_of_its_server() {
    let folder = Folder::new();
    let ping = plugin("ping");
    let host = folder.write("host.toml", format!("{HOST}[[plugin]]\npath = {ping:?}\n"));
    let server = folder.write("server.toml", format!("{GOOD}[[plugin]]\npath = {ping:?}\n"));
    let said = taken(&host);
    let note = format!("note: {}:5: `ping` uses `echo`", host.display());
    assert!(said.starts_with(&note) && said.contains("so its server must have it"), "{said}");
    let said = taken(&server);
    let note = format!("note: {}:4: `ping` uses `echo`", server.display());
    assert!(said.starts_with(&note), "a host, or whoever comes over a unix socket: {said}");
}

#[test]
fn check_notes_what_run_takes_although_a_used_plugin_is_not_there() {
    let folder = Folder::new();
    let (ping, poll) = (plugin("ping"), plugin("poll"));
    let tables = format!(
        "{GOOD}[[plugin]]\npath = {ping:?}\n[[plugin]]\npath = {poll:?}\n[plugin.config]\n\
         to = \"nothere\"\n"
    );
    let file = folder.write("alpha.toml", tables);
    let said = taken(&file);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "two notes, and that all is well: {said}");
    let who = "so a host, or a peer that is not listed, must have it";
    assert!(lines[0].contains("`ping` uses `echo`") && lines[0].ends_with(who), "{said}");
    let unless = format!("{who}, unless its [plugin.config] names another one");
    assert!(lines[1].contains("`poll` uses `clock`") && lines[1].ends_with(&unless), "{said}");
    assert!(lines[2].starts_with("ok: ") && lines[2].contains("2 plugins"), "{said}");
}

#[test]
fn an_address_without_its_transport_is_told_what_to_write() {
    let folder = Folder::new();
    for (written, meant) in [
        ("127.0.0.1:8008", "net:127.0.0.1:8008"),
        ("0.0.0.0:8008~shs", "net:0.0.0.0:8008~shs"),
        ("localhost:8008", "net:localhost:8008"),
        ("beta.example:8008", "net:beta.example:8008"),
        ("tcp://127.0.0.1:8008", "net:127.0.0.1:8008"),
        ("/run/alpha.sock", "unix:/run/alpha.sock"),
    ] {
        let text = format!("{GOOD}listen = [{written:?}]\n[[peer]]\naddress = {written:?}\n");
        let file = folder.write("alpha.toml", text);
        let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
        assert_eq!(told.len(), 2, "{told:?}");
        let end = format!("; write {meant}");
        assert!(told.iter().all(|line| line.ends_with(&end)), "{written}: {told:?}");
    }
}

#[test]
fn a_file_of_the_other_kind_prints_one_line_with_the_right_command() {
    let folder = Folder::new();
    // Other errors in it do not matter, because the file is not meant for this command.
    let host = folder.write("host.toml", format!("{HOST}nane = 1\n"));
    let server = folder.write("server.toml", format!("{GOOD}nane = 1\n"));
    for command in ["run", "stop", "status"] {
        let told = told(Command::new(trunkline()).arg(command).arg("--config").arg(&host), 1);
        let place = host.display();
        let why = format!("this is a host's file; use `trunkline host --config {place}`");
        assert_eq!(told, [format!("trunkline: {place}: {why}")], "{command}");
    }
    let problems = HostConfig::load(&server).unwrap_err();
    let place = server.display();
    let why = format!("this is a server's file; use `trunkline run --config {place}`");
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [format!("{place}: {why}")]);
}

#[test]
fn a_file_without_a_clear_kind_is_not_called_the_other_kind() {
    let folder = Folder::new();
    for (text, why) in [
        (format!("{GOOD}{HOST}"), "[host]: the file has [server] too"),
        (String::new(), "[server] is missing"),
    ] {
        let file = folder.write("unclear.toml", &text);
        for problems in [Config::load(&file).unwrap_err(), HostConfig::load(&file).unwrap_err()] {
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].message.starts_with(why), "{problems:?}");
        }
    }
}

#[test]
fn every_dialled_address_has_its_expected_key() {
    let folder = Folder::new();
    let text = format!(
        "{GOOD}[[peer]]\nkey = \"{KEY}\"\naddress = \"unix:b;unix:c~shs;net:c:1;net:c:2~shs\"\n\
         [[peer]]\naddress = \"net:d:1;net:d:2~shs:{OTHER}\"\n[[peer]]\naddress = \"unix:e\"\n\
         [[peer]]\nkey = \"{THIRD}\"\naddress = \"net:f:1~shs:{THIRD}\"\n"
    );
    let config = Config::load(&folder.write("a.toml", text)).unwrap();
    let place = folder.path().display();
    let found: Vec<_> = config
        .peers
        .iter()
        .map(|peer| (key(peer.key), peer.role, places(&peer.addresses)))
        .collect();
    let server = PeerRole::Server;
    let shown = |text: &str| text.replace("DIR", &place.to_string());
    assert_eq!(
        found,
        [
            (
                KEY.into(),
                server,
                shown(&format!(
                    "unix:DIR/b~noauth;unix:DIR/c~shs:{KEY};net:c:1~shs:{KEY};net:c:2~shs:{KEY}"
                ))
            ),
            (OTHER.into(), server, format!("net:d:1~shs:{OTHER};net:d:2~shs:{OTHER}")),
            (String::new(), server, shown("unix:DIR/e~noauth")),
            (THIRD.into(), server, format!("net:f:1~shs:{THIRD}")),
        ]
    );
}

#[test]
fn a_host_peer_is_never_dialled() {
    let folder = Folder::new();
    let text = format!("{GOOD}[[peer]]\nkey = \"{KEY}\"\nrole = \"host\"\n");
    let config = Config::load(&folder.write("a.toml", text)).unwrap();
    let [peer] = &config.peers[..] else { panic!("{:?}", config.peers) };
    assert_eq!(
        (key(peer.key), peer.role, places(&peer.addresses)),
        (KEY.into(), PeerRole::Host, String::new())
    );
}

#[test]
fn a_server_listens_with_its_key_and_for_the_command_line_without() {
    let folder = Folder::new();
    let listen = "listen = [\"unix:a~shs\", \"net:0.0.0.0:8008\", \"net::::0~shs\"]\n";
    let announce = "announce = [\"net:a.example:8008;net:10.0.0.1:1~shs\", \"net:b.local:2\"]\n";
    let network = format!("network = \"{OTHER}\"\n");
    let text = format!("{GOOD}{listen}{announce}{network}");
    let config = Config::load(&folder.write("a.toml", text)).unwrap();
    let place = folder.path().display();
    // A client without a key, such as the command line, still needs a socket.
    let added = format!("unix:{place}/a.state/trunkline.sock~noauth");
    assert_eq!(
        places(&config.listen),
        format!("unix:{place}/a~shs;net:0.0.0.0:8008~shs;net::::0~shs;{added}")
    );
    assert_eq!(config.control_socket(), Some(&*folder.path().join("a.state/trunkline.sock")));
    assert_eq!(
        places(&config.announce),
        "net:a.example:8008~shs;net:10.0.0.1:1~shs;net:b.local:2~shs"
    );
    assert_eq!(config.network, Some(std::array::from_fn(|index| index as u8)));
    let plain = Config::load(&folder.write("b.toml", GOOD)).unwrap();
    assert_eq!((plain.network, places(&plain.announce)), (None, String::new()));
}

#[test]
fn placement_and_restart_are_read_from_the_plugins_table() {
    let folder = Folder::new();
    let (inline, thread, process) = (Placement::Inline, Placement::Thread, Placement::Process);
    for (text, expected) in [
        ("", (inline, Restart::Never)),
        ("placement = \"inline\"\nrestart = \"never\"\n", (inline, Restart::Never)),
        ("placement = \"thread\"\n", (thread, Restart::Never)),
        ("placement = \"process\"\n", (process, Restart::OnFailure)),
        ("placement = \"process\"\nrestart = \"on-failure\"\n", (process, Restart::OnFailure)),
        ("placement = \"process\"\nrestart = \"never\"\n", (process, Restart::Never)),
    ] {
        let file = folder.write("a.toml", format!("{GOOD}[[plugin]]\npath = \"a.so\"\n{text}"));
        let config = Config::load(&file).unwrap();
        let [plugin] = &config.plugins[..] else { panic!("{:?}", config.plugins) };
        assert_eq!((plugin.placement, plugin.restart), expected, "{text}");
        assert_eq!((&plugin.allow[..], &plugin.advertise[..]), (&[][..], &[][..]), "{text}");
    }
}

#[test]
fn blocked_is_report_unless_the_table_says_end() {
    let folder = Folder::new();
    for (text, expected) in [
        ("", Blocked::Report),
        ("blocked = \"report\"\n", Blocked::Report),
        ("placement = \"process\"\n", Blocked::Report),
        ("placement = \"process\"\nblocked = \"end\"\n", Blocked::End),
    ] {
        let file = folder.write("a.toml", format!("{GOOD}[[plugin]]\npath = \"a.so\"\n{text}"));
        let config = Config::load(&file).unwrap();
        assert_eq!(config.plugins[0].blocked, expected, "{text}");
    }
}

#[test]
fn allow_and_advertise_are_read_from_the_plugins_table() {
    let folder = Folder::new();
    let text = "[[plugin]]\npath = \"a.so\"\nallow = [\"links\"]\n\
                advertise = [\"unix\", \"net:0.0.0.0:0\", \"net:localhost:9~shs\"]\n";
    let config = Config::load(&folder.write("a.toml", format!("{GOOD}{text}"))).unwrap();
    let [plugin] = &config.plugins[..] else { panic!("{:?}", config.plugins) };
    assert_eq!(plugin.allow, [Permission::Links]);
    let net = |host: &str, port| Advertise::Net { host: host.parse().unwrap(), port };
    assert_eq!(plugin.advertise, [Advertise::Unix, net("0.0.0.0", 0), net("localhost", 9)]);
}

#[test]
fn limits_have_defaults_that_a_file_overrides() {
    let folder = Folder::new();
    let newer = |limits: Limits| {
        (limits.nothing_in_common, limits.outbox, limits.control_message, limits.watchdog)
    };
    let second = Duration::from_secs(1);
    let limits = "[limits]\nnothing-in-common-ms = 1\noutbox = 1_073_741_824\n\
                  control-message = 1_048_576\nwatchdog-ms = 2\n";
    let (one, two) = (second / 1000, second / 500);
    for (text, expected) in [
        ("", (second * 5, 1_048_576, 65_536, second * 5)),
        (limits, (one, 1 << 30, 1 << 20, two)),
        ("[limits]\noutbox = 65536\n", (second * 5, 65_536, 65_536, second * 5)),
    ] {
        let server = Config::load(&folder.write("a.toml", format!("{GOOD}{text}"))).unwrap();
        assert_eq!(newer(server.limits), expected, "{text}");
        let host = HostConfig::load(&folder.write("h.toml", format!("{HOST}{text}"))).unwrap();
        assert_eq!(newer(host.limits), expected, "{text}");
    }
}

#[test]
fn a_list_of_keys_has_64_at_most() {
    let folder = Folder::new();
    let table = |count: usize| {
        let keys = vec![format!("{KEY:?}"); count].join(", ");
        format!("{GOOD}[[plugin]]\npath = \"a.so\"\nexpose = [{keys}]\n")
    };
    Config::load(&folder.write("a.toml", table(64))).unwrap();
    let problems = Config::load(&folder.write("a.toml", table(65))).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("64 keys at most"), "{problems:?}");
}

#[test]
fn a_host_dials_its_server_with_a_key_or_over_unix() {
    let folder = Folder::new();
    let server = format!("unix:alpha.sock~noauth;unix:b~shs;net:a.example:8008~shs:{KEY}");
    let text = format!(
        "[host]\nname = \"gamma\"\nkey = \"gamma.key\"\nserver = \"{server}\"\n\
         network = \"{OTHER}\"\nheartbeat-ms = 100\n[[plugin]]\npath = \"a.so\"\n"
    );
    let file = folder.write("gamma.toml", text);
    let host = HostConfig::load(&file).unwrap();
    let place = folder.path();
    assert_eq!(
        (&*host.name, &host.file, host.key, host.state),
        ("gamma", &file, place.join("gamma.key"), Some(place.join("gamma.state")))
    );
    let dir = place.display();
    assert_eq!(
        places(&host.server),
        format!("unix:{dir}/alpha.sock~noauth;unix:{dir}/b~shs:{KEY};net:a.example:8008~shs:{KEY}")
    );
    assert_eq!(host.network, Some(std::array::from_fn(|index| index as u8)));
    assert_eq!(host.limits.heartbeat, Duration::from_millis(100));
    let [plugin] = &host.plugins[..] else { panic!("{:?}", host.plugins) };
    assert_eq!((&plugin.path, plugin.placement), (&place.join("a.so"), Placement::Inline));
}

/// Endpoints as one address.
fn places(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
}

fn key(key: Option<Key>) -> String {
    key.map(|key| key.to_string()).unwrap_or_default()
}

#[test]
fn check_loads_plugins_and_finds_duplicate_names() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let table = format!("[[plugin]]\npath = {echo:?}\n");
    let renamed = format!("{table}name = \"other\"\n");
    let good = folder.write("good.toml", format!("{GOOD}{table}{renamed}"));
    let stdout = taken(&good);
    assert!(stdout.contains("2 plugins"), "{stdout}");
    let text = format!("{GOOD}{table}{renamed}{table}nane = 1\n");
    let file = folder.write("bad.toml", text);
    let told = told(Command::new(trunkline()).arg("check").arg("--config").arg(&file), 1);
    let place = file.display();
    let expected = [
        "9: [[plugin]]: the name `echo` is already in line 4; give one of them another `name`",
        "11: [[plugin]]: unknown key `nane`; did you mean `name`?",
    ];
    assert_eq!(told, expected.map(|line| format!("trunkline: {place}:{line}")));
}

#[test]
fn check_reports_each_unloadable_plugin_at_its_line() {
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

/// The output of `check` for a valid file.
fn taken(file: &Path) -> String {
    let output = Command::new(trunkline()).arg("check").arg("--config").arg(file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
    text_of(&output.stdout)
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
