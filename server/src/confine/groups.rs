//! A cgroup (v2) of the process's own, below one that is delegated to its server.
//!
//! systemd marks what it delegates (`Delegate=yes`). In a cgroup that has not been delegated
//! nothing is changed, also by root, because it belongs to another manager.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where cgroups are, alone or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The attributes with which systemd marks a delegated cgroup.
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// The subgroup of the server itself: a cgroup with limited subgroups has no processes.
const SERVER: &str = "server";

/// The period to which `cpu.max` refers, in microseconds; that of the kernel.
const PERIOD: u64 = 100_000;

/// A cgroup for one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    path: PathBuf,
    controllers: Vec<String>,
}

impl Group {
    /// Moves this process into the cgroup of its plugin. An error is why it can have none.
    pub(super) fn enter(plugin: &str) -> Result<Group, String> {
        let (mount, own) = Group::own()?;
        Group::enter_below(mount, &own, plugin, is_marked)
    }

    /// Whether a process of this server could have a cgroup. Changes nothing.
    pub(super) fn is_possible() -> Result<(), String> {
        let (mount, own) = Group::own()?;
        Group::base(mount, &mount.join(own), is_marked).map(drop)
    }

    /// Where cgroups are, and the one of this process there.
    fn own() -> Result<(&'static Path, String), String> {
        let missing = || "there are no cgroups of version 2 here".to_owned();
        let mount =
            MOUNTS.iter().map(Path::new).find(|mount| mount.join("cgroup.controllers").exists());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or_else(missing)?;
        Ok((mount.ok_or_else(missing)?, own.to_owned()))
    }

    /// The delegated cgroup: this process's own one, or the one above it.
    fn base(
        mount: &Path,
        own: &Path,
        is_delegated: impl Fn(&Path) -> bool,
    ) -> Result<PathBuf, String> {
        let near = [Some(own), own.parent()].into_iter().flatten();
        let mut near = near.filter(|path| path.starts_with(mount));
        near.find(|path| is_delegated(path)).map(Into::into).ok_or_else(|| {
            format!(
                "{} is not delegated to the server; with systemd, write `Delegate=yes` and \
                 `DelegateSubgroup={SERVER}` in its unit",
                own.display()
            )
        })
    }

    fn enter_below(
        mount: &Path,
        own: &str,
        plugin: &str,
        is_delegated: impl Fn(&Path) -> bool,
    ) -> Result<Group, String> {
        let own = mount.join(own);
        let base = Group::base(mount, &own, is_delegated)?;
        let failed = |error: io::Error| format!("{} cannot be used: {error}", base.display());
        if base == own {
            make_room(&base).map_err(failed)?;
        }
        let controllers = fs::read_to_string(base.join("cgroup.controllers")).map_err(failed)?;
        let controllers: Vec<String> = controllers.split_whitespace().map(Into::into).collect();
        for controller in &controllers {
            // One that cannot be passed on is missed when it is asked for.
            let _ = fs::write(base.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let path = base.join(format!("plugin-{plugin}"));
        fs::create_dir_all(&path).map_err(failed)?;
        fs::write(path.join("cgroup.procs"), "0").map_err(failed)?;
        Ok(Group { path, controllers })
    }

    pub(super) fn limit_processor(&self, percent: u64) -> Result<String, String> {
        let time = percent.saturating_mul(PERIOD / 100);
        self.set("cpu", "cpu.max", &format!("{time} {PERIOD}"))
    }

    pub(super) fn limit_memory(&self, mib: u64) -> Result<String, String> {
        self.set("memory", "memory.max", &(mib << 20).to_string())
    }

    pub(super) fn limit_tasks(&self, most: u64) -> Result<String, String> {
        self.set("pids", "pids.max", &most.to_string())
    }

    fn set(&self, controller: &str, file: &str, value: &str) -> Result<String, String> {
        if !self.controllers.iter().any(|known| known == controller) {
            let path = self.path.display();
            return Err(format!("{path} has no controller `{controller}`"));
        }
        let path = self.path.join(file);
        let set = fs::write(&path, value).map(|()| format!("cgroup {file}"));
        set.map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Moves the processes of a cgroup, which are those of the server, to a subgroup.
fn make_room(base: &Path) -> io::Result<()> {
    let server = base.join(SERVER);
    fs::create_dir_all(&server)?;
    for process in fs::read_to_string(base.join("cgroup.procs"))?.lines() {
        // One that has ended meanwhile need not be moved.
        let _ = fs::write(server.join("cgroup.procs"), process);
    }
    Ok(())
}

fn is_marked(group: &Path) -> bool {
    MARKS.iter().any(|mark| rustix::fs::getxattr(group, *mark, &mut [0_u8; 8]) == Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks as cgroups do, and is removed with the test.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let name = format!("trunkline-cgroups-{}-{name}", std::process::id());
            let tree = Tree(std::env::temp_dir().join(name));
            fs::create_dir_all(tree.0.join("system/unit/server")).expect("a new folder");
            let unit = tree.0.join("system/unit");
            fs::write(unit.join("cgroup.controllers"), "cpu pids\n").expect("a new file");
            fs::write(unit.join("cgroup.procs"), "4711\n").expect("a new file");
            tree
        }

        /// Enters from a cgroup, where the unit is delegated.
        fn enter(&self, own: &str) -> Result<Group, String> {
            let unit = self.0.join("system/unit");
            Group::enter_below(&self.0, own, "kv", |path| path == unit)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join("system/unit").join(file)).unwrap_or_default()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_process_enters_a_group_below_the_delegated_one() {
        let tree = Tree::new("below");
        let group = tree.enter("system/unit/server").expect("it is delegated");
        assert_eq!(tree.read("plugin-kv/cgroup.procs"), "0");
        assert_eq!(tree.read("server/cgroup.procs"), "", "the server is where it was");
        assert_eq!(group.limit_processor(50), Ok("cgroup cpu.max".into()));
        assert_eq!(group.limit_tasks(64), Ok("cgroup pids.max".into()));
        assert_eq!(tree.read("plugin-kv/cpu.max"), "50000 100000");
        assert_eq!(tree.read("plugin-kv/pids.max"), "64");
        let why = group.limit_memory(64).unwrap_err();
        assert!(why.ends_with("plugin-kv has no controller `memory`"), "{why}");
    }

    #[test]
    fn a_server_in_the_delegated_group_itself_makes_room() {
        let tree = Tree::new("room");
        tree.enter("system/unit").expect("it is delegated");
        assert_eq!(tree.read("server/cgroup.procs"), "4711");
        assert_eq!(tree.read("plugin-kv/cgroup.procs"), "0");
    }

    #[test]
    fn a_group_that_is_not_delegated_stays_as_it_is() {
        let tree = Tree::new("other");
        let why = Group::enter_below(&tree.0, "system/unit", "kv", |_| false).unwrap_err();
        let expected = "system/unit is not delegated to the server; with systemd, write \
                        `Delegate=yes` and `DelegateSubgroup=server` in its unit";
        assert!(why.ends_with(expected), "{why}");
        assert!(!tree.0.join("system/unit/plugin-kv").exists());
    }
}
