//! What API 1.1 added: links, addresses, and partners at run time.

use trunkline_plugin::prelude::*;

/// The answer to a command, if it is one of these.
pub(crate) fn obey(host: &Host, word: &str, rest: &str) -> Option<String> {
    let done = match word {
        "open-link" => host.open_link(rest).map(|key| key.to_string()),
        "close-link" => close(host, rest),
        "uses" => host.uses(rest, 1).map(|()| rest.to_owned()),
        "invites" => host.invites(rest).map(|()| rest.to_owned()),
        "addresses" => {
            let reach = match rest {
                "public" => Reach::Public,
                "local" => Reach::Local,
                _ => Reach::Device,
            };
            Ok(host.addresses(reach).join(" "))
        }
        _ => return None,
    };
    Some(match done {
        Ok(text) => format!("done {text}"),
        Err(why) => format!("refused {}", why.code()),
    })
}

/// Closes the link to the server of a name, or of a key that is not linked.
fn close(host: &Host, name: &str) -> Result<String, Reason> {
    let linked = host.links().into_iter().find(|link| link.peer.name == name);
    let key = linked.map_or(Key([0xee; 32]), |link| link.peer.key);
    host.close_link(&key).map(|()| key.to_string())
}
