//! What `trunkline status` reports about a running server, and which plugins keep a server from
//! starting.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use serde_json::{Map, Value};
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{Peer, PeerEvent, Server, Setup, Socket, run_to_its_end};

/// What design section 5 says of one table: its keys in order, and the kind of each value.
type Shape = &'static [(&'static str, Kind)];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    TextOrNull,
    Number,
    NumberOrNull,
    Truth,
    Texts,
    /// What bounds a plugin's process: null unless it is confined.
    Bounds,
    OneOf(&'static [&'static str]),
}

const SERVER: Shape = &[
    ("name", Kind::Text),
    ("key", Kind::Text),
    ("addresses", Kind::Texts),
    ("uptime_us", Kind::Number),
    ("longest_turn_us", Kind::Number),
    ("version", Kind::Text),
];

const PLUGIN: Shape = &[
    ("name", Kind::Text),
    ("version", Kind::Number),
    ("state", Kind::OneOf(&["running", "stopped", "failed", "starting"])),
    ("reason", Kind::TextOrNull),
    ("placement", Kind::OneOf(&["inline", "thread", "process", "remote"])),
    ("server", Kind::Text),
    ("addresses", Kind::Texts),
    ("channels", Kind::Number),
    ("calls_made", Kind::NumberOrNull),
    ("calls_to_answer", Kind::NumberOrNull),
    ("confined", Kind::Bounds),
];

const LINK: Shape = &[
    ("peer", Kind::Text),
    ("name", Kind::Text),
    ("role", Kind::OneOf(&["server", "host"])),
    ("address", Kind::Text),
    ("state", Kind::OneOf(&["up", "connecting", "waiting"])),
    ("streams", Kind::Number),
    ("plugins", Kind::Number),
    ("bytes_in", Kind::Number),
    ("bytes_out", Kind::Number),
    ("rtt_us", Kind::NumberOrNull),
    ("keep", Kind::Truth),
    ("reason", Kind::TextOrNull),
];

const CHANNEL: Shape = &[
    ("id", Kind::Number),
    ("from", Kind::Text),
    ("to", Kind::Text),
    ("route", Kind::OneOf(&["local", "unix", "tcp", "link", "punched", "relay"])),
    ("bytes_in", Kind::Number),
    ("bytes_out", Kind::Number),
];

fn is(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::TextOrNull => value.is_string() || value.is_null(),
        Kind::Number => value.is_u64(),
        Kind::NumberOrNull => value.is_u64() || value.is_null(),
        Kind::Truth => value.is_boolean(),
        Kind::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        Kind::Bounds => value.is_null() || is_bounded(value),
        Kind::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
    }
}

fn is_bounded(value: &Value) -> bool {
    let is_bound = |bound: &Value| {
        ["bound", "asked", "means"].iter().all(|key| bound[key].is_string())
            && bound["in_force"].is_boolean()
    };
    value["best_effort"].is_boolean()
        && value["bounds"].as_array().is_some_and(|bounds| bounds.iter().all(is_bound))
}

fn check(what: &str, shape: Shape, value: &Value) {
    let object: &Map<String, Value> = value.as_object().expect("a table is an object");
    let mut wanted: Vec<&str> = shape.iter().map(|(key, _)| *key).collect();
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    wanted.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, wanted, "the keys of {what}");
    for (key, kind) in shape {
        assert!(is(*kind, &object[*key]), "{what}.{key} is no {kind:?}: {}", object[*key]);
    }
}

fn items<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().unwrap_or_else(|| panic!("{key} is no array: {document}"))
}

#[test]
fn status_has_exactly_the_documented_shape() {
    let folder = Folder::new();
    let panics = fixtures::plugin(Api::Ours, "panics");
    let setup = Setup::new("alpha").tcp().peer("beta").peer("nobody").plugin(&plugin("echo"), "");
    let setup = setup.plugin(&panics, "name = \"broken\"\n[plugin.config]\nin = \"start\"");
    // It opens a channel, so that there is a local one.
    let opener = "name = \"opener\"\n[plugin.config]\nin = \"nowhere\"\nto = \"late\"";
    let setup = setup.plugin(&panics, opener).plugin(&plugin("echo"), "name = \"late\"");
    let alpha = Server::start(&folder, &setup);
    let beta = Server::start(&folder, &Setup::new("beta").plugin(&plugin("echo"), ""));
    let mut peer = Peer::link(Socket::tcp(&alpha), 9);
    let chan = peer.open("echo");
    peer.write(chan, b"hello");
    peer.wait_for("the echo", |event| matches!(event, PeerEvent::Write(..)));
    alpha.wait_until("the link to beta is up, and measured", |status| {
        status.link_to("beta").is_some_and(|link| link.rtt_us.is_some())
            && status.channels.len() == 2
            && status.links.iter().any(|link| link.state == "waiting")
    });

    let output = alpha.command("status", &["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON document");
    let keys: Vec<&str> =
        document.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    assert_eq!(document["schema"], 2, "the version of the form");
    check("server", SERVER, &document["server"]);
    for (key, shape, least) in
        [("plugins", PLUGIN, 5), ("links", LINK, 3), ("channels", CHANNEL, 2)]
    {
        let all = items(&document, key);
        assert!(all.len() >= least, "at least {least} {key} were expected: {all:?}");
        all.iter().for_each(|one| check(key, shape, one));
    }

    let half_open = &document["limits"]["half-open"];
    assert_eq!((&half_open["max"], &half_open["reached"]), (&64.into(), &0.into()));

    let (home, far) = (alpha.key().to_string(), beta.key().to_string());
    let server = &document["server"];
    assert_eq!((&server["name"], &server["key"]), (&"alpha".into(), &home.as_str().into()));
    let port = format!("net:127.0.0.1:{}~noauth", alpha.port());
    let addresses = items(server, "addresses");
    assert!(addresses.contains(&port.into()), "the real port is told: {addresses:?}");
    let status = alpha.status();
    let broken = status.plugin("broken").expect("a plugin that failed is shown");
    assert_eq!((broken.state.as_str(), broken.placement.as_str()), ("failed", "inline"));
    assert!(broken.reason.as_deref().is_some_and(|why| why.contains("as asked, in start")));
    let remote = status.plugins.iter().find(|plugin| plugin.server == far).expect("beta's echo");
    assert_eq!((remote.name.as_str(), remote.placement.as_str()), ("echo", "remote"));
    let announced = status.link_to("beta").map(|link| link.plugins);
    assert_eq!(announced, Some(1), "plugins of beta");
    let over_link = status.channels.iter().find(|channel| channel.route == "link");
    let over_link = over_link.expect("the test's channel");
    assert_eq!(over_link.to, format!("echo@{home}"));
    assert!(over_link.from.starts_with("test@"), "{over_link:?}");
    assert_eq!((over_link.bytes_in, over_link.bytes_out), (5, 5), "{over_link:?}");
    assert!(status.channels.iter().any(|channel| channel.route == "local"));
    // It was waiting above, and may be dialled again by now.
    let nobody = status.links.iter().find(|link| link.address.contains("nobody.sock"));
    let nobody = nobody.unwrap_or_else(|| panic!("a peer without a link is shown: {status:#?}"));
    assert!(nobody.state != "up" && nobody.reason.is_some(), "{nobody:?}");
}

#[test]
fn a_plugin_that_does_not_start_stops_the_server_only_if_it_is_required() {
    let folder = Folder::new();
    let panics = fixtures::plugin(Api::Ours, "panics");
    let text = folder.write("text.so", "this is no plugin");
    let echo = plugin("echo");
    let fails = "[plugin.config]\nin = \"start\"";
    let setup = Setup::new("alpha").plugin(&text, "name = \"text\"").plugin(&panics, fails);
    let alpha = Server::start(&folder, &setup.plugin(&echo, ""));
    let status = alpha.status();
    assert!(status.is("panics", "failed") && status.is("echo", "running"), "{status:#?}");
    let log = alpha.log().text();
    let about_text: Vec<&str> = log.lines().filter(|line| line.contains("text.so")).collect();
    assert_eq!(about_text.len(), 1, "one line for the file that is no plugin: {log}");
    assert!(about_text[0].contains("alpha.toml:"), "it names file and line: {about_text:?}");
    Peer::link(Socket::unix(&alpha), 9).echo("echo", b"the others run");

    for (file, lines, why) in [
        (&panics, "required = true\n[plugin.config]\nin = \"start\"", "as asked, in start"),
        (&panics, "required = true\n[plugin.config]\nin = 7", "in"),
        (&text, "required = true", "text.so"),
    ] {
        let beta = Setup::new("beta").plugin(&echo, "").plugin(file, lines);
        let (code, said) = run_to_its_end(&folder, &beta);
        assert_eq!(code, 1, "{said}");
        let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("trunkline: ")).collect();
        assert_eq!(errors.len(), 1, "one line says why: {said}");
        assert!(errors[0].contains("beta.toml:") && errors[0].contains(why), "{said}");
        assert!(!folder.path().join("beta.sock").exists(), "the socket's file is removed: {said}");
    }
}

/// A plugin whose file is missing. Its path holds a character that controls terminals.
const MISSING: &str = "[[plugin]]\npath = \"no\\u001b[2Jfile/libnope.so\"\n";

#[test]
fn plugins_that_fail_or_are_missing_are_shown_with_their_reasons() {
    let folder = Folder::new();
    let panics = fixtures::plugin(Api::Ours, "panics");
    let setup = Setup::new("alpha").limit(MISSING).plugin(&plugin("echo"), "");
    let setup = setup.plugin(&panics, "name = \"broken\"\n[plugin.config]\nin = \"start\"");
    let alpha = Server::start(&folder, &setup);

    let status = alpha.status();
    let nope = status.plugin("nope").expect("a plugin without a file is shown");
    assert_eq!((nope.state.as_str(), nope.placement.as_str()), ("failed", "inline"));
    let why = nope.reason.as_deref().expect("it has a reason");
    assert!(why.contains("libnope.so: there is no such file"), "{why}");
    assert!(why.contains(r"no\u{1b}[2Jfile") && !why.contains('\u{1b}'), "it is escaped: {why}");
    let told = alpha.command("explain", &["nope", "echo"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("nope failed: ") && told.contains("mend nope"), "{told}");
    assert!(status.is("broken", "failed") && status.is("echo", "running"), "{status:#?}");
    let ready = alpha.log().wait_for(0, "is ready");
    assert!(ready.ends_with("is ready; 2 of 3 plugins failed: broken, nope"), "{ready}");
}

/// The exit code of `trunkline status --check`, and its lines on stdout and on stderr.
fn judged(server: &Server) -> (Option<i32>, Vec<String>, Vec<String>) {
    let output = server.command("status", &["--check"]);
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
    };
    (output.status.code(), lines(&output.stdout), lines(&output.stderr))
}

#[test]
fn status_check_exits_with_1_and_one_line_for_each_thing_that_is_missing() {
    let folder = Folder::new();
    let panics = fixtures::plugin(Api::Ours, "panics");
    let setup = Setup::new("alpha").limit(MISSING).peer("beta").keep().peer("nobody");
    let setup = setup.plugin(&plugin("echo"), "");
    let fails = "name = \"process\"\nplacement = \"process\"\nrestart = \"never\"\n\
                 [plugin.config]\nin = \"start\"";
    let alpha = Server::start(&folder, &setup.plugin(&panics, fails));
    alpha.wait_until("the process has failed, and beta is not there", |status| {
        let waits = |link: &&trunkline_tests::harness::LinkInfo| link.address.contains("beta.sock");
        status.is("process", "failed")
            && status.links.iter().find(waits).is_some_and(|link| link.reason.is_some())
    });
    let (code, said, errors) = judged(&alpha);
    assert_eq!((code, said.len(), errors.len()), (Some(1), 0, 3), "{said:?} {errors:?}");
    for (start, why) in [
        ("trunkline: plugin process: failed: ", "as asked, in start"),
        ("trunkline: plugin nope: failed: ", "there is no such file"),
        ("trunkline: link to unix:", "beta.sock"),
    ] {
        let line = errors.iter().find(|line| line.starts_with(start));
        assert!(line.is_some_and(|line| line.contains(why)), "{start} {why}: {errors:?}");
    }
}

#[test]
fn status_check_exits_with_0_and_one_line_when_all_is_well() {
    let folder = Folder::new();
    let setup = Setup::new("alpha").peer("beta").keep().peer("nobody");
    let process = "name = \"process\"\nplacement = \"process\"";
    let setup = setup.plugin(&plugin("echo"), "").plugin(&plugin("echo"), process);
    let alpha = Server::start(&folder, &setup);
    let beta = Server::start(&folder, &Setup::new("beta"));
    alpha.wait_until("all that is asked for is there", |status| {
        status.is("process", "running") && status.link_to("beta").is_some()
    });
    let well = "ok: server alpha: 2 plugins running, 1 kept link up".to_owned();
    assert_eq!(judged(&alpha), (Some(0), vec![well], vec![]));
    let well = "ok: server beta: 0 plugins running, 0 kept links up".to_owned();
    assert_eq!(judged(&beta), (Some(0), vec![well], vec![]), "who is dialled keeps no link");

    drop(beta);
    alpha.wait_until("the link is lost", |status| status.link_to("beta").is_none());
    let (code, _, errors) = judged(&alpha);
    assert_eq!((code, errors.len()), (Some(1), 1), "{errors:?}");
    assert!(errors[0].starts_with("trunkline: link to "), "{errors:?}");
}

#[test]
fn tables_name_servers_and_show_no_keys_of_them() {
    let folder = Folder::new();
    let alpha = Setup::new("alpha").peer("beta").plugin(&plugin("echo"), "");
    let alpha = Server::start(&folder, &alpha);
    let opener = "name = \"opener\"\n[plugin.config]\nopens = \"echo\"";
    let meets = fixtures::plugin(Api::Ours, "meets");
    let beta = Server::start(&folder, &Setup::new("beta").plugin(&meets, opener));
    alpha.wait_until("a channel over the link", |status| {
        status.channels.iter().any(|channel| channel.route == "link")
    });
    let tables = alpha.command("status", &[]);
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    let row = |start: &str| {
        let row = tables.lines().find(|line| line.starts_with(start));
        let row = row.unwrap_or_else(|| panic!("no row {start} in\n{tables}"));
        row.split_whitespace().collect::<Vec<_>>()
    };
    let plugin = row("opener ");
    assert!(plugin.contains(&"beta"), "the plugin's server: {plugin:?}");
    let is_channel = |line: &&str| line.contains("opener@beta") && line.contains("echo@alpha");
    assert!(tables.lines().any(|line| is_channel(&line)), "{tables}");
    assert!(!tables.contains(&beta.key().short()), "beta is shown by its name only:\n{tables}");

    drop(beta);
    alpha.wait_until("the link is lost", |status| status.link_to("beta").is_none());
    let tables = alpha.command("status", &[]);
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    let lost = tables.lines().find(|line| line.starts_with("beta "));
    assert!(lost.is_some(), "a lost server keeps its name:\n{tables}");
}
