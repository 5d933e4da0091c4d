//! Which servers to ask for a service, and in which order; pure.

use std::collections::VecDeque;

use trunkline_plugin::{By, Entry, Reason};

/// The code of a `forward` that does not serve the wanted service.
pub(crate) const UNKNOWN_SERVICE: &str = "unknown-service";

/// The servers that have the plugin `name`: the one that served last time first, this server last,
/// because a service is mostly wanted from elsewhere.
pub(crate) fn in_order(name: &str, entries: &[Entry], last_time: Option<&str>) -> VecDeque<String> {
    let there = entries.iter().filter(|entry| entry.name == name);
    let mut there: Vec<_> = there.map(|entry| (entry.local, entry.server.to_string())).collect();
    there.sort_by_key(|(local, key)| (last_time != Some(key), *local));
    there.into_iter().map(|(_, key)| key).collect()
}

/// Whether another server may still serve after this refusal: this one does not know the service,
/// or could not be reached. A server that knows the service has the last word.
pub(crate) fn another_may_serve(reason: &Reason) -> bool {
    reason.by() == By::Server || reason.code() == UNKNOWN_SERVICE
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_plugin::Key;

    fn entry(name: &str, server: u8) -> Entry {
        Entry { name: name.into(), version: 1, server: Key([server; 32]), local: server == 1 }
    }

    fn order(last_time: Option<u8>) -> Vec<String> {
        let there = [("forward", 1), ("echo", 2), ("forward", 3), ("forward", 4)];
        let entries = there.map(|(name, server)| entry(name, server));
        let last_time = last_time.map(|key| Key([key; 32]).to_string());
        in_order("forward", &entries, last_time.as_deref()).into()
    }

    fn keys(numbers: [u8; 3]) -> [String; 3] {
        numbers.map(|number| Key([number; 32]).to_string())
    }

    #[test]
    fn the_last_server_comes_first_and_this_server_last() {
        assert_eq!(order(None), keys([3, 4, 1]));
        assert_eq!(order(Some(4)), keys([4, 3, 1]));
        assert_eq!(order(Some(1)), keys([1, 3, 4]));
        assert_eq!(order(Some(9)), keys([3, 4, 1]), "a server that left is not asked");
    }

    #[test]
    fn a_refusal_by_a_server_that_knows_the_service_is_final() {
        assert!(another_may_serve(&Reason::new(UNKNOWN_SERVICE, "")));
        assert!(!another_may_serve(&Reason::new("unreachable", "")));
    }
}
