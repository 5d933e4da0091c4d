//! `trunkline explain` names each rule that keeps two plugins apart, and what to change.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::expect_used)]

use serde_json::Value;
use std::time::Instant;
use trunkline_tests::binaries::plugin;
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
