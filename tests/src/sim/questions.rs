//! Questions that the command line may ask at any time: what a server is doing, and why two plugins
//! are connected or not. The answers must not contradict each other.

use super::actor::Kind;
use super::world::World;
use trunkline_core::broker::{ChannelStatus, Explanation};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::route::Route;

impl World {
    /// Asks about a server, or a host.
    pub(super) fn ask(&mut self, number: usize) -> Result<(), String> {
        let (from, to) = (self.somebody(), self.somebody());
        let broker = &self.nodes[number].broker;
        let told = broker.explain(&from, &to);
        let status = broker.status();
        let at = &self.shared.cast[number].name;
        if told.rules.iter().any(|rule| rule.text.is_empty()) || told.rules.is_empty() {
            return Err(format!("{at} does not explain {from} and {to}: {told:?}"));
        }
        let looked_at_routes = told.rules.iter().any(|rule| rule.name == Route::Relay.as_str());
        if !looked_at_routes {
            return match told.connected.is_empty() && told.change.is_some() {
                true => Ok(()),
                false => Err(format!("{at} leaves off in the middle: {told:?}")),
            };
        }
        if !told.connected.is_empty() {
            self.shared.trace.saw("an explanation of a channel");
        }
        let between = |channel: &&ChannelStatus| self.is_between(channel, &told);
        let shown: Vec<Route> = status.channels.iter().filter(between).map(|c| c.route).collect();
        let (here, elsewhere) = told.connected.split_at(shown.len().min(told.connected.len()));
        match here == shown && elsewhere.iter().all(|route| route.is_direct()) {
            true => Ok(()),
            false => Err(format!("{at} has the channels {shown:?}, but explains {told:?}")),
        }
    }

    /// What people call a plugin that is there, or not.
    fn somebody(&mut self) -> String {
        let random = &mut self.shared.random;
        let name = match random.below(10) {
            0 => "nobody".to_string(),
            1 => format!("driver-{}", random.below(8)),
            2 => "No Name".to_string(),
            3 | 4 => "driver".to_string(),
            _ => random.pick(&Kind::ALL).name().to_string(),
        };
        match random.below(4) {
            0 => name,
            1 => format!("{name}@{}", random.pick(&self.shared.keys)),
            _ => format!("{name}@server-{}", random.below(4)),
        }
    }

    fn is_between(&self, channel: &ChannelStatus, told: &Explanation) -> bool {
        let full = |(name, server): &(Name, Key)| {
            let at = self.shared.keys.iter().position(|key| key == server);
            at.map_or(format!("{name}@{server}"), |at| format!("{name}@server-{at}"))
        };
        let ends = (full(&channel.from), full(&channel.to));
        (&ends.0, &ends.1) == (&told.from, &told.to) || (&ends.1, &ends.0) == (&told.from, &told.to)
    }
}
