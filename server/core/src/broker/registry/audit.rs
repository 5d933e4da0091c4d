//! What must always hold inside the registry, checked for tests; nothing here decides anything.

use super::Registry;
use super::plugins::Runs;
use crate::name::Name;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

impl Registry {
    /// Checks that names lead to plugins that live or still have to leave, that nothing but the
    /// last word of a host's plugin is kept, and that what is forgotten has no place. It costs time
    /// for each plugin.
    ///
    /// # Errors
    /// What does not hold, for people.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut of_hosts: BTreeSet<&Name> = BTreeSet::new();
        for (id, record) in &self.plugins {
            let name = &record.config.name;
            let leaving = self.lost.contains(id);
            let has_name = self.is_live(*id) || leaving;
            if has_name != (self.names.get(name) == Some(id)) {
                return Err(format!("{id:?} is {:?}, but {name} says other", record.state));
            }
            let Runs::At(conn) = record.runs else { continue };
            if !of_hosts.insert(name) {
                return Err(format!("there are two records of a host's {name}"));
            }
            if self.is_live(*id) && !self.hosts.contains_key(&conn) {
                return Err(format!("{name} lives, its host does not"));
            }
        }
        self.audit_links()?;
        let (unreleased, untold) =
            (self.directory.unreleased(), self.announcements.remembered_for_hosts());
        if unreleased != untold {
            return Err(format!("{unreleased} entries have left, {untold} are still to be told"));
        }
        match self.names.values().find(|id| !self.plugins.contains_key(id)) {
            Some(id) => Err(format!("{id:?} has a name and no record")),
            None => Ok(()),
        }
    }

    /// Each server has one link, and each link has its server.
    fn audit_links(&self) -> Result<(), String> {
        for (conn, common) in &self.in_common {
            if self.link_to.get(&common.server) != Some(conn) {
                return Err(format!("{conn:?} serves {}, which has another link", common.server));
            }
        }
        match self.in_common.len() == self.link_to.len() {
            true => Ok(()),
            false => Err("a server has a link that serves nobody".into()),
        }
    }
}
