//! The questions of `status` and `explain`, at any time of a run. The two answers must not
//! contradict each other.

use super::actor::Kind;
use super::world::World;
use trunkline_core::broker::{ChannelStatus, Explanation};
use trunkline_core::key::Key;
use trunkline_core::name::Name;
use trunkline_core::route::Route;

impl World {
    /// Asks a server or a host.
    pub(super) fn ask(&mut self, number: usize) -> Result<(), String> {
        let (from, to) = (self.draw_plugin(), self.draw_plugin());
        let broker = &self.nodes[number].broker;
        let explanation = broker.explain(&from, &to);
        let status = broker.status();
        let at = &self.shared.info[number].name;
        if explanation.rules.iter().any(|rule| rule.text.is_empty()) || explanation.rules.is_empty()
        {
            return Err(format!("{at} does not explain {from} and {to}: {explanation:?}"));
        }
        let looked_at_routes =
            explanation.rules.iter().any(|rule| rule.name == Route::Relay.as_str());
        if !looked_at_routes {
            return match explanation.connected.is_empty() && explanation.change.is_some() {
                true => Ok(()),
                false => Err(format!("{at} has an explanation without an end: {explanation:?}")),
            };
        }
        if !explanation.connected.is_empty() {
            self.shared.trace.saw("an explanation of a channel");
        }
        let between = |channel: &&ChannelStatus| self.is_between(channel, &explanation);
        let shown: Vec<Route> = status.channels.iter().filter(between).map(|c| c.route).collect();
        let (here, elsewhere) =
            explanation.connected.split_at(shown.len().min(explanation.connected.len()));
        match here == shown && elsewhere.iter().all(|route| route.is_direct()) {
            true => Ok(()),
            false => Err(format!("{at} has the channels {shown:?}, but explains {explanation:?}")),
        }
    }

    /// Draws the name of a plugin as a user may write it; the plugin may not exist.
    fn draw_plugin(&mut self) -> String {
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

    fn is_between(&self, channel: &ChannelStatus, explanation: &Explanation) -> bool {
        let full = |(name, server): &(Name, Key)| {
            let at = self.shared.keys.iter().position(|key| key == server);
            at.map_or(format!("{name}@{server}"), |at| format!("{name}@server-{at}"))
        };
        let ends = (full(&channel.from), full(&channel.to));
        (&ends.0, &ends.1) == (&explanation.from, &explanation.to)
            || (&ends.1, &ends.0) == (&explanation.from, &explanation.to)
    }
}
