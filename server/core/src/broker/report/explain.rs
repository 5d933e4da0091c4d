//! Why two plugins are, or are not, connected: each rule that is looked at, what it says of these
//! two, what was tried last, and what would have to change.

use super::directs::Directs;
use super::failures::{Failure, Failures};
use super::invitations::{rule_invited, rule_wants};
use super::unlinked::{server_name, unlinked, why_not_linked};
use crate::broker::calls::Calls;
use crate::broker::flows::places::place;
use crate::broker::neighbours::children::ChildState;
use crate::broker::registry::plugins::Runs;
use crate::broker::{Broker, Expose, Neighbours, PluginId, PluginState, Registry};
use crate::directory::Wanted;
use crate::ends::Ends;
use crate::key::Key;
use crate::name::{Name, Version};
use crate::reason::Reason;
use crate::route::{Place, Reach, Route, routes};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// All that is known of why two plugins are, or are not, connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The plugin that would open the channel, with its server's name.
    pub from: String,
    /// The plugin that it would be opened to, with its server's name.
    pub to: String,
    /// The routes of the channels that they have now.
    pub connected: Vec<Route>,
    /// Whether the one has called the other within one process, which takes no channel.
    pub calls: bool,
    /// The rules, in the order in which they are looked at. What follows a broken one was not
    /// looked at.
    pub rules: Vec<Rule>,
    /// What would have to change.
    pub change: Option<String>,
}

/// One rule, and what it says of two plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name: `known`, `link`, `exposed`, `version`, `invited`, `accepted`, or that of a route.
    pub name: &'static str,
    /// Whether it lets them connect.
    pub verdict: Verdict,
    /// A sentence.
    pub text: String,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lets them connect.
    Holds,
    /// It does not.
    Broken,
    /// It says nothing either way: a route that is not possible, while another one is.
    Open,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Holds => "yes",
            Verdict::Broken => "no",
            Verdict::Open => "-",
        }
    }
}

/// A plugin that is asked about.
pub(super) struct Subject {
    pub(super) name: Name,
    pub(super) server: Key,
    version: Version,
    /// Of this server's own.
    pub(super) plugin: Option<PluginId>,
    place: Place,
}

impl Subject {
    fn is(&self, plugin: &(Name, Key)) -> bool {
        plugin.0 == self.name && plugin.1 == self.server
    }
}

impl Broker {
    /// Why two plugins are, or are not, connected. Each is `name`, or `name@server` with the name
    /// or the key of a server.
    pub fn explain(&self, from: &str, to: &str) -> Explanation {
        let mut told = Explanation {
            from: from.into(),
            to: to.into(),
            connected: Vec::new(),
            calls: false,
            rules: Vec::new(),
            change: None,
        };
        if let Err(change) = self.explain_into(&mut told, from, to) {
            told.change = Some(change);
        }
        told
    }

    /// Adds rule by rule, up to the first broken one; that says what would have to change.
    fn explain_into(&self, told: &mut Explanation, from: &str, to: &str) -> Result<(), String> {
        let (registry, neighbours) = (&self.registry, &self.neighbours);
        let a = subject(registry, neighbours, told, from)?;
        told.from = full_name(neighbours, &a.name, a.server);
        let b = subject(registry, neighbours, told, to);
        let b = b.inspect_err(|_| rule_wants(registry, told, &a))?;
        told.to = full_name(neighbours, &b.name, b.server);
        rule_exposed(registry, neighbours, told, &a, &b)?;
        rule_version(registry, told, &a, &b)?;
        rule_invited(registry, told, &a, &b);
        told.connected = routes_in_use(self.switch.ends(), &a, &b).collect();
        let direct = direct_routes(&self.directs, neighbours.home_key(), &a, &b);
        told.connected.extend(direct);
        rule_routes(&self.failures, neighbours, self.now, told, [&a, &b]);
        rule_accepted(&self.failures, (&self.calls, registry), told, &a, &b)
    }
}

/// The routes of the channels between two plugins that pass through this process.
fn routes_in_use(ends: &Ends, a: &Subject, b: &Subject) -> impl Iterator<Item = Route> {
    let infos = ends.iter().filter_map(|(_, end)| end.info.as_ref());
    let between = infos
        .filter(|info| a.is(&info.from) && b.is(&info.to) || b.is(&info.from) && a.is(&info.to));
    between.map(|info| info.route)
}

/// The routes of the channels between two plugins that do not pass through this server.
fn direct_routes(
    directs: &Directs,
    home: Key,
    a: &Subject,
    b: &Subject,
) -> impl Iterator<Item = Route> {
    let between = directs.channels().filter(move |(from, to, server, _)| {
        let is = |a: &Subject, b: &Subject| {
            a.server == home && *from == a.name && *to == b.name && *server == b.server
        };
        is(a, b) || is(b, a)
    });
    between.map(|(.., route)| *route)
}

/// A plugin by what it is called on the command line.
fn subject(
    registry: &Registry,
    neighbours: &Neighbours,
    told: &mut Explanation,
    text: &str,
) -> Result<Subject, String> {
    let (name, server) = match text.split_once('@') {
        Some((name, server)) => (name, Some(server)),
        None => (text, None),
    };
    let fail = |told: &mut Explanation, text: String, change: String| {
        told.rules.push(Rule { name: "known", verdict: Verdict::Broken, text });
        Err(change)
    };
    let Ok(parsed) = name.parse::<Name>() else {
        let text = format!("{name} is no name of a plugin");
        return fail(told, text, "name plugins as they are shown by `trunkline status`".into());
    };
    let home = (neighbours.home_key(), neighbours.home_name());
    let wanted = match registry.wanted(server, home) {
        Ok(wanted) => wanted,
        Err(reason) => {
            let (why, change) = why_not_linked(neighbours, server.unwrap_or_default());
            let text = format!("{}; {why}", reason.text);
            told.rules.push(Rule { name: "link", verdict: Verdict::Broken, text });
            return Err(change);
        }
    };
    match registry.directory().find(&parsed, 0, wanted, neighbours.home_key()) {
        Ok(entry) => {
            let here = entry.server == neighbours.home_key();
            let plugin = registry.running(&parsed).filter(|_| here);
            let place = plugin.map_or_else(
                || far_place(neighbours, entry.server),
                |p| place(registry, neighbours, p),
            );
            let at = server_name(neighbours, entry.server);
            let runs = plugin
                .map_or_else(String::new, |p| format!(", {}", runs_how(registry, neighbours, p)));
            let text = format!("{name} version {} is at {at}{runs}", entry.version);
            told.rules.push(Rule { name: "known", verdict: Verdict::Holds, text });
            let (server, version) = (entry.server, entry.version);
            Ok(Subject { name: parsed, server, version, plugin, place })
        }
        Err(_) => {
            let (text, change) = why_not_here(registry, neighbours, &parsed)
                .unwrap_or_else(|| why_unknown(neighbours, told, &parsed, wanted));
            fail(told, text, change)
        }
    }
}

/// Why a plugin of this server's own is not in the directory, and what would have to change.
fn why_not_here(
    registry: &Registry,
    neighbours: &Neighbours,
    name: &Name,
) -> Option<(String, String)> {
    let failed = |reason: &Reason| {
        let change = format!("mend {name}, and start the server again");
        Some((format!("{name} failed: {reason}"), change))
    };
    let mut records = registry.plugins().map(|(_, record)| record);
    let record = records.find(|record| record.config.name == *name);
    if let Some(PluginState::Failed(reason)) = record.map(|record| &record.state) {
        return failed(reason);
    }
    if let Some(plugin) = registry.not_loaded().find(|plugin| plugin.name == *name) {
        return failed(&plugin.reason);
    }
    let child = neighbours.children().find(|child| child.config.name == *name)?;
    match &child.state {
        ChildState::Ended(reason) => failed(reason),
        ChildState::Starting | ChildState::Running => {
            let text = format!("{name} is being started in its process");
            Some((text, "wait until it runs".into()))
        }
    }
}

/// Why a plugin of another server is not known, and what would have to change. Servers that are not
/// linked may have it.
fn why_unknown(
    neighbours: &Neighbours,
    told: &mut Explanation,
    name: &Name,
    wanted: Wanted,
) -> (String, String) {
    if let Wanted::At(key) = wanted
        && key != neighbours.home_key()
    {
        let at = server_name(neighbours, key);
        let text = format!("{at} shows no {name}: it does not run there, or is not exposed");
        return (text, format!("on {at}, load {name} with `expose = \"peers\"`"));
    }
    let mut change = format!("load {name} here, or link a server that exposes it");
    for (text, needs) in unlinked(neighbours) {
        told.rules.push(Rule { name: "link", verdict: Verdict::Open, text });
        change = format!("load {name} here, or {needs}");
    }
    (format!("no server that is known here has {name}"), change)
}

/// Whether the callee may be seen where the caller is.
fn rule_exposed(
    registry: &Registry,
    neighbours: &Neighbours,
    told: &mut Explanation,
    a: &Subject,
    b: &Subject,
) -> Result<(), String> {
    let name = &b.name;
    let (verdict, text) = if a.server == b.server {
        (Verdict::Holds, "both belong to one server, whose plugins see each other".to_string())
    } else if let Some(plugin) = b.plugin {
        let seen = registry.may_see(plugin, a.server);
        let expose = registry.plugin(plugin).map(|record| &record.config.expose);
        let how = match expose {
            Some(Expose::Local) | None => "to plugins of its own server only",
            Some(Expose::Peers) => "to all linked servers",
            Some(Expose::Keys(_)) => "to some servers by their keys",
        };
        let verdict = if seen { Verdict::Holds } else { Verdict::Broken };
        (verdict, format!("{name} is exposed {how}"))
    } else {
        (Verdict::Holds, format!("{} exposes {name} to us", server_name(neighbours, b.server)))
    };
    told.rules.push(Rule { name: "exposed", verdict, text });
    match verdict {
        Verdict::Broken => {
            let key = a.server;
            Err(format!("expose {name}: `expose = \"peers\"`, or a list with {key}"))
        }
        _ => Ok(()),
    }
}

/// Whether the callee's version is what the caller says that it uses.
fn rule_version(
    registry: &Registry,
    told: &mut Explanation,
    a: &Subject,
    b: &Subject,
) -> Result<(), String> {
    let record = a.plugin.and_then(|plugin| registry.plugin(plugin));
    let uses = record.and_then(|record| {
        record.config.uses.iter().find(|(name, _)| *name == b.name).map(|(_, least)| *least)
    });
    let (verdict, text) = match uses {
        Some(least) if b.version < least => {
            let text = format!("{} uses version {least}, this is {}", a.name, b.version);
            (Verdict::Broken, text)
        }
        Some(least) => (Verdict::Holds, format!("{} uses version {least} or later", a.name)),
        None if record.is_some() => {
            let text = format!("{} does not say that it uses {}", a.name, b.name);
            (Verdict::Open, text)
        }
        None => (Verdict::Open, format!("what {} uses is known at its server", a.name)),
    };
    told.rules.push(Rule { name: "version", verdict, text });
    match verdict {
        Verdict::Broken => Err(format!("install a newer {}", b.name)),
        _ => Ok(()),
    }
}

/// Route by route: in use, possible, not possible, and its last outcome.
fn rule_routes(
    failures: &Failures,
    neighbours: &Neighbours,
    now: Duration,
    told: &mut Explanation,
    [a, b]: [&Subject; 2],
) {
    let possible = routes(&a.place, &b.place);
    for route in Route::ALL {
        let (from, to) = ((&a.name, a.server), (&b.name, b.server));
        let last = failures.last(from, to, |failure| failure.route == route);
        let place = possible.iter().position(|one| *one == route);
        let far = [a, b].into_iter().find(|subject| subject.server != neighbours.home_key());
        let (verdict, mut text) = if told.connected.contains(&route) {
            (Verdict::Holds, "in use".to_string())
        } else if let (true, Some(far)) = (route.is_direct(), far) {
            let at = server_name(neighbours, far.server);
            let text = format!("possible only if {} runs in a host; {at} knows", far.name);
            (Verdict::Open, text)
        } else if let Some(place) = place {
            (Verdict::Holds, format!("possible, number {} to be tried", place + 1))
        } else {
            (Verdict::Open, format!("not possible: {}", why_not(route, &a.place, &b.place)))
        };
        if let Some(failure) = last {
            let ago = now.saturating_sub(failure.at).as_secs();
            text += &format!("; tried {ago} s ago: {}", failure.reason);
        }
        told.rules.push(Rule { name: route.as_str(), verdict, text });
    }
}

/// The outcome of the last channel, where it was no route that failed; or that the two need none.
fn rule_accepted(
    failures: &Failures,
    (calls, registry): (&Calls, &Registry),
    told: &mut Explanation,
    a: &Subject,
    b: &Subject,
) -> Result<(), String> {
    if !told.connected.is_empty() {
        return Ok(());
    }
    let (from, to) = ((&a.name, a.server), (&b.name, b.server));
    if let Some(Failure { reason, .. }) = failures.last(from, to, |_| true) {
        let text = format!("the last channel did not come about: {reason}");
        told.rules.push(Rule { name: "accepted", verdict: Verdict::Broken, text });
        return Err(format!("see what {} says", b.name));
    }
    let (from, to) = (&a.name, &b.name);
    let has_called = |from: &Subject, to: &Subject| {
        from.plugin.zip(to.plugin).is_some_and(|(from, to)| calls.has_called(from, to))
    };
    let callers = [(a, b), (b, a)].into_iter().filter(|(from, to)| has_called(from, to));
    let callers: Vec<String> =
        callers.map(|(a, b)| format!("{} calls {}", a.name, b.name)).collect();
    told.calls = !callers.is_empty();
    let runs = |subject: &Subject| {
        let record = subject.plugin.and_then(|plugin| registry.plugin(plugin));
        record.map(|record| record.runs)
    };
    let text = match (runs(a), runs(b)) {
        _ if told.calls => {
            format!("{}: in one process, calls need no channel", callers.join(", and "))
        }
        (Some(Runs::Here), Some(Runs::Here)) => {
            format!("{from} has no channel to {to}, and has not called it")
        }
        (Some(ours), Some(theirs)) if ours == theirs => {
            format!("{from} has no channel to {to}; its calls, within their host, need none")
        }
        _ => format!("{from} has opened no channel to {to}, nor called it lately"),
    };
    let verdict = if told.calls { Verdict::Holds } else { Verdict::Open };
    told.rules.push(Rule { name: "accepted", verdict, text });
    match told.calls {
        true => Ok(()),
        false => Err(format!("nothing: {from} may open a channel, or call, at any time")),
    }
}

fn full_name(neighbours: &Neighbours, name: &Name, server: Key) -> String {
    format!("{name}@{}", server_name(neighbours, server))
}

fn runs_how(registry: &Registry, neighbours: &Neighbours, plugin: PluginId) -> String {
    match registry.plugin(plugin).map(|record| record.runs) {
        Some(Runs::At(conn)) => {
            let label = neighbours.conn(conn).map(|conn| conn.label()).unwrap_or_default();
            format!("in the host {label}")
        }
        _ => "inline".into(),
    }
}

/// A plugin of another server, of which it is not known here in which process it runs.
fn far_place(neighbours: &Neighbours, server: Key) -> Place {
    let hello = neighbours.link_to(server).and_then(|id| neighbours.conn(id));
    let machine = hello.and_then(|conn| conn.hello.as_ref()).map_or(server, |h| h.machine);
    let reach = Reach::default();
    Place { server, server_machine: machine, process: server, machine, reach }
}

/// Why a route is not among those that are tried.
fn why_not(route: Route, a: &Place, b: &Place) -> &'static str {
    let one_machine = a.machine == b.machine;
    match route {
        Route::Local => "they run in different processes",
        _ if a.process == b.process => "they run in one process",
        Route::Unix if !one_machine => "they are on different machines",
        Route::Unix if !b.reach.unix => "the callee does not advertise `unix`",
        Route::Unix => "each is with its own server",
        Route::Tcp | Route::Punched if one_machine && a.server == b.server => {
            "they are on one machine with their server"
        }
        Route::Tcp if !b.reach.net => "the callee advertises no `net` address",
        Route::Punched if !(a.reach.seen && b.reach.seen) => {
            "not both run in hosts that are linked over TCP"
        }
        Route::Tcp | Route::Punched => "a link of their servers joins them",
        Route::Link => "no single link joins their processes",
        Route::Relay => "one link joins them, and nobody has to pass anything on",
    }
}
