//! Channels that no plugin asked for: a server opens them between a plugin of its own and one of a
//! linked server, of which one invites the other. Which pairs these are, the registry decides.

use super::opening::has_room_for;
use crate::broker::effect::Effects;
use crate::broker::registry::plugins::Runs;
use crate::broker::registry::{Pair, Registry};
use crate::broker::switch::Switch;
use crate::broker::{Broker, Told};
use crate::control::{Origin, Purpose, Request};
use crate::ends::{ChannelInfo, Phase};
use crate::ids::EndId;
use crate::key::Key;
use crate::limits::WINDOW;
use crate::log_limiter::LogKind;
use crate::name::Version;
use crate::reason::Reason;
use crate::route::Route;

impl Broker {
    /// Connects two plugins.
    pub(crate) fn connect_pair(&mut self, pair: &Pair) {
        let own = (self.key, self.settings.limits.window);
        let opened = open_pair(&self.registry, &mut self.switch, pair, own, &mut self.effects);
        if let Err(reason) = opened {
            self.registry.pair_refused(pair);
            let (ours, theirs) = (&pair.ours, &pair.theirs.name);
            let text = format_args!("{ours} cannot be connected to {theirs}: {reason}");
            self.log_about(pair.link, LogKind::RefusedOffer, text);
        }
    }
}

/// Opens a channel on behalf of a plugin, unless it or the link has gone since. Both plugins are
/// asked, each as if the other had opened it. A plugin of this process may be given `window` bytes
/// at once; what is relayed to a host begins with as little as any relayed channel.
fn open_pair(
    registry: &Registry,
    switch: &mut Switch,
    pair: &Pair,
    (home, window): (Key, u64),
    effects: &mut Effects,
) -> Result<(), Reason> {
    let Some(record) = registry.plugin(pair.plugin) else { return Ok(()) };
    let linked = registry.served_by(pair.link) == Some(pair.theirs.server);
    if !linked || !registry.is_live(pair.plugin) {
        return Ok(());
    }
    let (runs, version) = (record.runs, record.config.version);
    if runs == Runs::Here {
        has_room_for(switch, (pair.plugin, &pair.ours), pair.theirs.server, home)?;
    }
    let info = ChannelInfo {
        from: (pair.theirs.name.clone(), pair.theirs.server),
        to: (pair.ours.clone(), home),
        route: Route::Link,
    };
    let window = if runs == Runs::Here { window } else { WINDOW };
    let near = near_end(switch, pair, runs, info)?;
    join_far_end(switch, pair, near, version, window, effects)?;
    match runs {
        Runs::Here => {
            effects.tell(pair.plugin, Told::Open(switch.handle(near), pair.theirs.clone()));
        }
        Runs::At(_) => switch.grant(near, window, effects),
    }
    Ok(())
}

/// The end of our plugin: in this process, or a stream of its host's link.
fn near_end(
    switch: &mut Switch,
    pair: &Pair,
    runs: Runs,
    info: ChannelInfo,
) -> Result<EndId, Reason> {
    let Runs::At(host) = runs else {
        return switch.add_plugin_end(pair.plugin, Phase::Asked, Some(info), Purpose::Channel);
    };
    switch.has_stream_for(host, pair.theirs.server)?;
    let near = switch.new_stream(host)?;
    let (name, version) = (pair.theirs.name.clone(), pair.theirs.version);
    let from = Origin { name, version, server: Some(pair.theirs.server) };
    let request = Request { stays: true, ..Request::new(pair.ours.clone(), 0, from) };
    switch.open_with(near, request);
    switch.set_info(near, info);
    Ok(near)
}

/// The stream to the plugin of the other server. Without it, the end of ours is not needed.
fn join_far_end(
    switch: &mut Switch,
    pair: &Pair,
    near: EndId,
    version: Version,
    window: u64,
    effects: &mut Effects,
) -> Result<(), Reason> {
    let opened = switch.open_stream(pair.link, near, window, effects);
    let far = opened.inspect_err(|reason| give_up(switch, near, reason, effects))?;
    let from = Origin::new(pair.ours.clone(), version);
    let request = Request { stays: true, ..Request::new(pair.theirs.name.clone(), 0, from) };
    switch.open_with(far, request);
    Ok(())
}

/// Gives up the end of our plugin, which was not told of it yet if it is in this process. Its host
/// was.
fn give_up(switch: &mut Switch, near: EndId, reason: &Reason, effects: &mut Effects) {
    match switch.end(near).and_then(|end| end.conn()) {
        Some(_) => switch.abort_end(Some(near), reason.clone(), effects),
        None => drop(switch.drop_end(near)),
    }
}
