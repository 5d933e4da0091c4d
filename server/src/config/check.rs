//! Checks that need the plugin files: whether they load, their built-in names, what they use.

use super::file::{Draft, Owner};
use super::problem::{Problem, Report};
use super::{Accept, Confine, File, PluginConfig, Required};
use crate::loader;
use std::path::Path;
use trunkline_plugin::About;

/// The result of checking a configuration file and its plugin files.
#[derive(Debug)]
pub struct Checked {
    /// All problems, in the order of lines.
    pub problems: Vec<Problem>,
    /// All notes, in the order of lines.
    pub notes: Vec<Problem>,
    /// The configuration, if the file itself has no problems.
    pub config: Option<File>,
}

/// Checks a configuration file and loads its plugin files, without starting any plugin.
///
/// Finds all problems at once: plugin files are checked even if the configuration has problems.
pub fn check_file(file: &Path) -> Checked {
    let text = match super::syntax::read_file(file) {
        Ok(text) => text,
        Err(problem) => {
            return Checked { problems: vec![problem], notes: Vec::new(), config: None };
        }
    };
    let mut report = Report::new(file, &text);
    let draft = super::file::read(&mut report);
    let mut found = Found { file, problems: Vec::new(), notes: Vec::new() };
    found.check_plugins(&draft);
    let Found { mut problems, mut notes, .. } = found;
    let config = match report.finish() {
        Ok(own) => {
            notes.extend(own.iter().cloned());
            draft.complete(own)
        }
        Err(own) => {
            problems.extend(own);
            None
        }
    };
    problems.sort_by_key(|problem| problem.line);
    notes.sort_by_key(|note| note.line);
    Checked { problems, notes, config }
}

struct Found<'a> {
    file: &'a Path,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

/// A plugin file that could be loaded, for a table of the configuration.
struct Loaded<'a> {
    table: &'a PluginConfig,
    about: About,
}

impl Loaded<'_> {
    fn name(&self) -> &str {
        self.table.name.as_ref().map_or(self.about.name(), |name| name.as_str())
    }
}

impl Found<'_> {
    fn check_plugins(&mut self, draft: &Draft) {
        let mut loaded: Vec<Loaded<'_>> = Vec::new();
        for table in &draft.plugins {
            // Reading the configuration has already reported this.
            if table.required == Required::Yes && !table.path.is_file() {
                continue;
            }
            if let Some(confine) = &table.confine {
                self.check_confined(table, confine);
                continue;
            }
            match loader::load(&table.path, table.sha256) {
                Ok(module) => loaded.push(Loaded { table, about: *module.about() }),
                Err(error) => self.problem(table, error.to_string()),
            }
        }
        self.check_names(&loaded);
        // If a file does not load, it may be the one that another plugin uses.
        if loaded.len() == draft.plugins.len() {
            self.check_uses(&loaded, Others::of(draft));
        }
    }

    /// The code of a plugin that is to be confined does not run here, because here it is not.
    fn check_confined(&mut self, table: &PluginConfig, confine: &Confine) {
        let at = PluginConfig { line: confine.line, ..table.clone() };
        if let Err(error) = loader::Image::read(&table.path, table.sha256) {
            self.problem(table, error.to_string());
        }
        let (wrong, lacking) = crate::confine::foresee(confine);
        wrong.into_iter().for_each(|why| self.problem(&at, format!("[plugin.confine]: {why}")));
        let Some(lacking) = lacking else { return };
        let message = format!("[plugin.confine]: the system cannot enforce {lacking}");
        match confine.best_effort {
            true => self.note(&at, message),
            false => self.problem(&at, format!("{message}; or add `best-effort = true`")),
        }
    }

    /// Compares built-in names. Reading the configuration has compared the names in the file.
    fn check_names(&mut self, loaded: &[Loaded<'_>]) {
        for (index, plugin) in loaded.iter().enumerate() {
            let built_in = |other: &&Loaded<'_>| {
                other.name() == plugin.name()
                    && (other.table.name.is_none() || plugin.table.name.is_none())
            };
            if let Some(earlier) = loaded[..index].iter().find(built_in) {
                let (name, line) = (plugin.name(), earlier.table.line);
                let message = format!("[[plugin]]: the name `{name}` is already in line {line}");
                self.problem(plugin.table, format!("{message}; give one of them another `name`"));
            }
        }
    }

    fn check_uses(&mut self, loaded: &[Loaded<'_>], others: Others) {
        for plugin in loaded {
            for wanted in plugin.about.used() {
                let (used, least) = (wanted.name, wanted.version);
                let serving = loaded.iter().filter(|other| other.name() == used);
                let best = serving.map(|other| other.about.version()).max();
                if best.is_some_and(|version| version >= least) {
                    continue;
                }
                let here = match best {
                    Some(version) => format!("the plugin here has version {version}"),
                    None => "no plugin here has that name".into(),
                };
                let (name, elsewhere) = (plugin.name(), others.must_have());
                // What a plugin reads from its configuration may take the place of what it uses.
                let unless = match plugin.table.config_json.as_str() {
                    "{}" => "",
                    _ => ", unless its [plugin.config] names another one",
                };
                let message = format!("`{name}` uses `{used}`, version {least} or later; {here}");
                self.note(plugin.table, format!("{message}, so {elsewhere} must have it{unless}"));
            }
        }
    }

    fn problem(&mut self, table: &PluginConfig, message: String) {
        self.problems.push(Problem { file: self.file.into(), line: Some(table.line), message });
    }

    fn note(&mut self, table: &PluginConfig, message: String) {
        let line = Some(table.line);
        self.notes.push(Problem { file: self.file.into(), line, message });
    }
}

/// Where else a plugin may be that is missing here.
#[derive(Clone, Copy)]
enum Others {
    /// At a server that is linked.
    Peers,
    /// At the server of this host.
    Server,
    /// A host or a server that links over a unix socket, which needs no `[[peer]]`.
    Unlisted,
}

impl Others {
    fn of(draft: &Draft) -> Others {
        match &draft.owner {
            Owner::Host(_) => Others::Server,
            Owner::Server(Some(server)) if server.accept == Accept::Anyone => Others::Peers,
            _ if draft.peers.is_empty() => Others::Unlisted,
            _ => Others::Peers,
        }
    }

    fn must_have(self) -> &'static str {
        match self {
            Others::Peers => "a peer",
            Others::Server => "its server",
            Others::Unlisted => "a host, or a peer that is not listed,",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Blocked, Expose, Placement, Restart};

    fn table(line: usize) -> PluginConfig {
        PluginConfig {
            path: "libx.so".into(),
            name: None,
            config_json: "{}".into(),
            required: Required::No,
            sha256: None,
            expose: Expose::Local,
            allow: Vec::new(),
            placement: Placement::Inline,
            restart: Restart::Never,
            blocked: Blocked::Report,
            advertise: Vec::new(),
            log: None,
            confine: None,
            line,
        }
    }

    /// Problems and notes for a plugin that uses `store`, version 3 or later, beside one that is
    /// `store` at the given version.
    fn found(store: Option<u64>, others: Others) -> (Vec<String>, Vec<String>) {
        found_with("{}", store, others)
    }

    /// The same, where the user has this configuration.
    fn found_with(config: &str, store: Option<u64>, others: Others) -> (Vec<String>, Vec<String>) {
        let tables = [PluginConfig { config_json: config.into(), ..table(4) }, table(6)];
        let user = About::new("user", 1).uses("store", 3).uses("user", 1);
        let mut loaded = vec![Loaded { table: &tables[0], about: user }];
        let store = store.map(|version| About::new("store", version));
        loaded.extend(store.map(|about| Loaded { table: &tables[1], about }));
        let file = Path::new("a.toml");
        let mut found = Found { file, problems: Vec::new(), notes: Vec::new() };
        found.check_uses(&loaded, others);
        let lines = |list: &[Problem]| list.iter().map(Problem::to_string).collect();
        (lines(&found.problems), lines(&found.notes))
    }

    #[test]
    fn a_used_plugin_that_is_not_here_at_its_least_version_is_noted() {
        assert_eq!(found(Some(3), Others::Unlisted), (vec![], vec![]));
        assert_eq!(found(Some(9), Others::Unlisted), (vec![], vec![]));
        let (problems, notes) = found(Some(2), Others::Unlisted);
        let start = "a.toml:4: `user` uses `store`, version 3 or later; ";
        let end = ", so a host, or a peer that is not listed, must have it";
        assert_eq!(problems, Vec::<String>::new(), "the server runs nevertheless");
        assert_eq!(notes, [format!("{start}the plugin here has version 2{end}")]);
        let (_, notes) = found(None, Others::Unlisted);
        assert_eq!(notes, [format!("{start}no plugin here has that name{end}")]);
    }

    #[test]
    fn what_a_configuration_may_name_instead_is_said() {
        let (problems, notes) = found_with(r#"{"to":"other"}"#, None, Others::Peers);
        assert_eq!(problems, Vec::<String>::new());
        assert!(notes[0].ends_with(", unless its [plugin.config] names another one"), "{notes:?}");
    }

    #[test]
    fn what_a_peer_or_the_server_of_a_host_may_have_is_only_noted() {
        let start = "a.toml:4: `user` uses `store`, version 3 or later; no plugin here has that \
                     name, so";
        for (others, end) in
            [(Others::Peers, "a peer must have it"), (Others::Server, "its server must have it")]
        {
            let (problems, notes) = found(None, others);
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!(notes, [format!("{start} {end}")]);
        }
    }
}
