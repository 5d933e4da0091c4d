//! `trunkline explain` names each rule that keeps two plugins apart, and what to change.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use serde_json::Value;
use std::time::Instant;
use trunkline_tests::binaries::plugin;
use trunkline_tests::fixtures::{self, Api};
use trunkline_tests::folder::Folder;
use trunkline_tests::harness::{PATIENCE, Server, Setup};

fn explain(server: &Server, from: &str, to: &str) -> Value {
    let output = server.command("explain", &[from, to, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The verdict and the text of a rule.
fn rule<'a>(told: &'a Value, name: &str) -> (&'a str, &'a str) {
    let rules = told["rules"].as_array().expect("a list of rules");
    let found = rules.iter().rfind(|rule| rule["rule"] == name);
    let found = found.unwrap_or_else(|| panic!("no rule {name} in {told:#}"));
    (found["verdict"].as_str().expect("a verdict"), found["text"].as_str().expect("a text"))
}

/// Explains until the two are connected.
fn wait_for_route(server: &Server, from: &str, to: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = explain(server, from, to);
        if told["connected"].as_array().is_some_and(|routes| !routes.is_empty()) {
            return told;
        }
        assert!(Instant::now() < deadline, "{from} and {to} are not connected: {told:#}");
    }
}

fn ping(name: &str, to: &str) -> String {
    format!("name = {name:?}\n[plugin.config]\nto = {to:?}\nbulk-mib = 0")
}

#[test]
fn the_route_in_use_is_named_and_why_others_are_not() {
    let folder = Folder::new();
    let process = "placement = \"process\"\nadvertise = [\"unix\"]";
    let far_ping = format!("placement = \"process\"\n{}", ping("ping-far", "echo-far"));
    let setup = Setup::new("alpha")
        .plugin(&plugin("echo"), "")
        .plugin(&plugin("echo"), &format!("name = \"echo-far\"\n{process}"))
        .plugin(&plugin("ping"), &ping("ping", "echo"))
        .plugin(&plugin("ping"), &far_ping);
    let alpha = Server::start(&folder, &setup);
    let near = wait_for_route(&alpha, "ping", "echo");
    assert_eq!(near["connected"], serde_json::json!(["local"]), "{near:#}");
    assert_eq!(rule(&near, "local"), ("yes", "in use"));
    assert_eq!(rule(&near, "unix").0, "-");
    assert_eq!(near["change"], Value::Null, "nothing has to change: {near:#}");

    let far = wait_for_route(&alpha, "ping-far", "echo-far");
    // Until the socket is known, the servers relay the channel.
    let route = far["connected"][0].as_str().expect("a route");
    assert!(["unix", "relay"].contains(&route), "{far:#}");
    assert_eq!(rule(&far, route), ("yes", "in use"));
    assert_eq!(rule(&far, "unix").0, "yes", "it is possible: {far:#}");
    assert_eq!(rule(&far, "tcp").0, "-");
    assert!(rule(&far, "known").1.contains("in the host"), "{far:#}");
}

#[test]
fn explain_names_the_obstacle_and_how_to_change_it() {
    let folder = Folder::new();
    let echo = plugin("echo");
    let _alpha = Server::start(&folder, &Setup::new("alpha").plugin(&echo, ""));
    let setup = Setup::new("beta").peer("alpha").peer("nobody").keep();
    let beta = Server::start(&folder, &setup.plugin(&echo, "name = \"asker\""));
    beta.wait_until("the two are linked", |status| status.link_to("alpha").is_some());

    let told = explain(&beta, "nothing", "echo");
    assert_eq!(rule(&told, "known"), ("no", "no server that is known here has nothing"));
    assert!(told["change"].as_str().is_some_and(|change| change.contains("load nothing")));

    let told = explain(&beta, "asker", "other@alpha");
    let (verdict, text) = rule(&told, "known");
    assert_eq!(verdict, "no");
    assert!(text.contains("alpha shows no other"), "{text}");
    let change = told["change"].as_str().expect("a change");
    assert!(change.contains("expose = \"peers\""), "{change}");

    let told = explain(&beta, "asker", "echo@gamma");
    assert_eq!(rule(&told, "link").0, "no", "{told:#}");
    assert!(told["change"].as_str().is_some_and(|change| change.contains("[[peer]]")));

    let told = explain(&beta, "asker", "echo");
    assert_eq!(rule(&told, "link").0, "yes", "{told:#}");
    assert_eq!(rule(&told, "accepted").0, "-", "asker has asked for nothing: {told:#}");
}

#[test]
fn a_refusal_is_remembered_with_its_reason() {
    let folder = Folder::new();
    // `ping` accepts no channels, and says so.
    let setup = Setup::new("alpha")
        .plugin(&plugin("ping"), "name = \"target\"")
        .plugin(&plugin("ping"), &ping("caller", "target"));
    let alpha = Server::start(&folder, &setup);
    alpha.log().wait_for(0, "plugin::caller] ping target@alpha: the channel ended");
    let told = explain(&alpha, "caller", "target");
    let (verdict, text) = rule(&told, "accepted");
    assert_eq!(verdict, "no");
    assert!(text.contains("no-channels"), "the plugin's own reason: {text}");
    assert!(told["change"].as_str().is_some_and(|change| change.contains("target")));
}

#[test]
fn wrong_arguments_of_explain_print_one_line() {
    let folder = Folder::new();
    let alpha = Server::start(&folder, &Setup::new("alpha"));
    let told = explain(&alpha, "No Name".replace(' ', "_").as_str(), "echo");
    assert_eq!(rule(&told, "known").0, "no", "{told:#}");
    for words in [["a b", "c"], ["", "c"]] {
        let output = alpha.command("explain", &words);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let output = alpha.command("explain", &["only-one"]);
    assert_eq!(output.status.code(), Some(2), "wrong usage");
}

#[test]
fn two_plugins_that_only_call_are_said_to_call() {
    let folder = Folder::new();
    let poll = "[plugin.config]\nevery-ms = 5\nrequest = \"time\"";
    let setup = Setup::new("alpha").plugin(&plugin("clock"), "").plugin(&plugin("poll"), poll);
    let alpha = Server::start(&folder, &setup.plugin(&plugin("echo"), ""));
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let told = explain(&alpha, "poll", "clock");
        if told["calls"] == true {
            break told;
        }
        assert!(Instant::now() < deadline, "poll does not call: {told:#}");
    };
    let text = "poll calls clock: in one process, calls need no channel";
    assert_eq!(rule(&told, "accepted"), ("yes", text));
    assert_eq!(told["change"], Value::Null, "nothing has to change: {told:#}");
    let output = alpha.command("explain", &["poll", "clock"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = "poll@alpha to clock@alpha: no channel, because they only call";
    assert_eq!(shown.lines().next(), Some(first), "{shown}");

    let told = explain(&alpha, "poll", "echo");
    assert_eq!(told["calls"], false);
    assert_eq!(
        rule(&told, "accepted"),
        ("-", "poll has no channel to echo, and has not called it")
    );
}

#[test]
fn a_link_that_ended_for_want_of_a_use_is_named_with_what_would_keep_it() {
    let folder = Folder::new();
    let meets = fixtures::plugin(Api::Ours, "meets");
    let alpha = Setup::new("alpha").nothing_in_common_ms(100).plugin(&plugin("echo"), "");
    let _alpha = Server::start(&folder, &alpha);
    let asker = "name = \"asker\"\n[plugin.config]\ninvites = [\"nobody\"]";
    let beta = Setup::new("beta").nothing_in_common_ms(100).peer("alpha").plugin(&meets, asker);
    let beta = Server::start(&folder, &beta);
    let ended = "nothing-in-common";
    beta.wait_until("the link has ended", |status| {
        let is_over = |reason: &String| reason.contains(ended);
        status.links.iter().any(|link| link.reason.as_ref().is_some_and(is_over))
    });
    for to in ["echo", "echo@alpha"] {
        let told = explain(&beta, "asker", to);
        let (_, text) = rule(&told, "link");
        assert!(text.contains("its link ended: nothing-in-common"), "{told:#}");
        let change = told["change"].as_str().expect("a change");
        assert!(change.contains("`keep = true`") && !change.contains("start it"), "{told:#}");
        let wants = "asker uses no plugin, and invites nobody";
        assert_eq!(rule(&told, "invited"), ("-", wants));
    }
    let told = explain(&beta, "asker", "echo");
    assert!(rule(&told, "link").1.starts_with("alpha may have it"), "by its name: {told:#}");
}

#[test]
fn an_invitation_of_a_renamed_plugin_is_explained() {
    let folder = Folder::new();
    let meets = fixtures::plugin(Api::Ours, "meets");
    let chat = "name = \"chat-x\"\n[plugin.config]\ninvites = [\"chat\"]";
    let _alpha = Server::start(&folder, &Setup::new("alpha").plugin(&meets, chat));
    let beta = Setup::new("beta").peer("alpha").keep().plugin(&meets, chat);
    let beta = beta.plugin(&meets, "name = \"chat\"");
    let beta = Server::start(&folder, &beta);
    beta.wait_until("alpha's plugin is known", |status| status.knows_remote("chat-x"));
    let told = explain(&beta, "chat-x", "chat-x@alpha");
    let rules = told["rules"].as_array().expect("a list of rules");
    let invited: Vec<_> = rules.iter().filter(|rule| rule["rule"] == "invited").collect();
    assert_eq!(invited.len(), 2, "each side invites somebody: {told:#}");
    for rule in invited {
        assert_eq!(rule["verdict"], "-");
        assert_eq!(rule["text"], "chat-x invites chat, and no plugin named chat-x");
    }
    let told = explain(&beta, "chat", "chat-x");
    assert_eq!(rule(&told, "invited"), ("yes", "chat-x invites chat"));
}
