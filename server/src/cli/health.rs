//! `trunkline status --check`: whether a running server has all that its configuration asks for.

use super::check::count;
use super::status_answer::{Link, Plugin, Status};

/// The first version of the answer with plugins that could not be loaded, and `keep` of links.
const COMPLETE_SINCE: u64 = 2;

/// One line if the server is well, otherwise one line for each thing that is not.
pub(super) fn judge(status: &Status) -> Result<String, Vec<String>> {
    let plugins = status.plugins.iter().filter(|plugin| plugin.server == status.server.key);
    let kept = status.links.iter().filter(|link| link.keep);
    let of_plugins = plugins.clone().filter(|plugin| plugin.state != "running").map(about_plugin);
    let down = kept.clone().filter(|link| link.state != "up" && !has_other_link(link, status));
    let lines: Vec<String> = of_plugins.chain(down.map(about_link)).collect();
    if !lines.is_empty() {
        return Err(lines);
    }
    let (plugins, kept) = (plugins.count(), kept.filter(|link| link.state == "up").count());
    let [plugins, kept] =
        [count(plugins, "plugin", "plugins"), count(kept, "kept link", "kept links")];
    let older = match status.schema {
        Some(schema) if schema >= COMPLETE_SINCE => "",
        _ => "; this earlier release tells neither missing plugins nor which links are kept",
    };
    Ok(format!("ok: server {}: {plugins} running, {kept} up{older}", status.server.name))
}

/// Whether another connection is the link to the same server.
fn has_other_link(link: &Link, status: &Status) -> bool {
    let same = |other: &&Link| !link.peer.is_empty() && other.peer == link.peer;
    status.links.iter().filter(same).any(|other| other.state == "up")
}

fn about_plugin(plugin: &Plugin) -> String {
    line(format!("plugin {}", plugin.name), &plugin.state, plugin.reason.as_deref())
}

fn about_link(link: &Link) -> String {
    let what = match link.name.is_empty() {
        true => format!("link to {}", link.address),
        false => format!("link to {} ({})", link.name, link.address),
    };
    line(what, &link.state, link.reason.as_deref())
}

fn line(what: String, state: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{what}: {state}: {reason}"),
        None => format!("{what}: {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(schema: &str, plugins: &str, links: &str) -> Status {
        let server = r#"{"name":"alpha","key":"K","addresses":[],"uptime_us":1,"version":"1"}"#;
        let text = format!(
            r#"{{{schema}"server":{server},"plugins":[{plugins}],"links":[{links}],"channels":[]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn plugin(name: &str, state: &str, server: &str) -> String {
        format!(
            r#"{{"name":"{name}","version":1,"state":"{state}","reason":"why","placement":"inline",
            "server":"{server}","addresses":[],"channels":0}}"#
        )
    }

    fn link(state: &str, keep: &str) -> String {
        format!(
            r#"{{"peer":"B","name":"beta","role":"server","address":"unix:b","state":"{state}",
            "streams":0,"bytes_in":0,"bytes_out":0,"rtt_us":null{keep},"reason":null}}"#
        )
    }

    const SCHEMA: &str = r#""schema":2,"#;

    #[test]
    fn only_own_plugins_and_kept_links_are_judged() {
        let plugins = [plugin("a", "running", "K"), plugin("b", "failed", "OTHER")].join(",");
        let links = [link("waiting", r#","keep":false"#), link("up", r#","keep":true"#)].join(",");
        let well = judge(&status(SCHEMA, &plugins, &links));
        assert_eq!(well, Ok("ok: server alpha: 1 plugin running, 1 kept link up".into()));

        let plugins = [plugin("a", "failed", "K"), plugin("b", "starting", "K")].join(",");
        let ill = judge(&status(SCHEMA, &plugins, &link("waiting", r#","keep":true"#)));
        let expected = ["plugin a: failed: why", "plugin b: starting: why"];
        let mut expected: Vec<String> = expected.map(str::to_owned).to_vec();
        expected.push("link to beta (unix:b): waiting".into());
        assert_eq!(ill, Err(expected));
    }

    #[test]
    fn a_kept_peer_with_another_link_is_linked() {
        let links = [link("connecting", r#","keep":true"#), link("up", r#","keep":true"#)];
        assert!(judge(&status(SCHEMA, "", &links.join(","))).is_ok());
    }

    #[test]
    fn what_an_earlier_release_does_not_tell_is_said() {
        let plugins = plugin("a", "running", "K");
        let line = judge(&status("", &plugins, &link("waiting", ""))).unwrap();
        assert!(line.starts_with("ok: ") && line.contains("earlier release"), "{line}");
    }
}
