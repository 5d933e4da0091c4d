//! Files and signals: landlock. What it does not restrict is refused by `calls.rs`.

use super::{Report, System};
use crate::config::{Confine, Network, Writable};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    Scope,
};
use std::path::Path;

/// The interface whose rights are used. Later ones have more, which are not needed.
const USED: ABI = ABI::V6;
/// From this version on, files cannot be truncated without the right to write.
const TRUNCATE: u32 = 3;
/// From this version on, processes outside receive no signals.
const SIGNALS: u32 = 6;

/// What programs need to read: libraries, certificates, names of hosts, time zones, and what the
/// kernel says of the process itself. What is missing is skipped.
const NEEDED: [&str; 21] = [
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/proc/self",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// The keys of the lists.
const READ: &str = "read";
const WRITE: &str = "write";

/// What is written to it is nowhere.
const NOWHERE: &str = "/dev/null";

/// The version of landlock's interface that the kernel has, as far as it matters here; 0 if it has
/// none.
pub(crate) fn version() -> u32 {
    let offers = |abi: ABI| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let ruleset = ruleset.handle_access(AccessFs::from_all(abi));
        let ruleset = match abi >= ABI::V6 {
            true => ruleset.and_then(|ruleset| ruleset.scope(Scope::from_all(abi))),
            false => ruleset,
        };
        ruleset.and_then(Ruleset::create).is_ok()
    };
    let versions = [ABI::V6, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];
    versions.into_iter().find(|abi| offers(*abi)).map_or(0, |abi| abi as u32)
}

/// The rules of a process, whose paths are opened now. `None` without landlock.
pub(super) fn rules(
    asked: &Confine,
    data: Option<&Path>,
    version: u32,
) -> Result<Option<RulesetCreated>, String> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let read = if asked.processes > 1 { read | AccessFs::Execute } else { read };
    let device = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write = (AccessFs::from_write(USED) & !device) | read;
    let needed = NEEDED.iter().filter_map(|path| Some((PathFd::new(path).ok()?, *path, read)));
    let mut granted: Vec<(PathFd, &Path, BitFlags<AccessFs>)> =
        needed.map(|(fd, path, access)| (fd, Path::new(path), access)).collect();
    let nowhere = AccessFs::ReadFile | AccessFs::WriteFile;
    granted.extend(PathFd::new(NOWHERE).ok().map(|fd| (fd, Path::new(NOWHERE), nowhere)));
    for path in granted_paths(asked) {
        let (key, fd, path) = path?;
        granted.push((fd, path, if key == WRITE { write } else { read }));
    }
    if let Some(data) = data {
        granted.push((open(WRITE, data)?, data, write));
    }
    if version == 0 {
        return Ok(None);
    }
    ruleset(granted, asked.network).map(Some).map_err(|error| format!("landlock: {error}"))
}

/// The paths that the configuration grants, each with its key. An error names one that is missing.
pub(super) fn granted_paths(
    asked: &Confine,
) -> impl Iterator<Item = Result<(&'static str, PathFd, &Path), String>> {
    let written = asked.write.iter().filter_map(|writable| match writable {
        Writable::Path(path) => Some((WRITE, path.as_path())),
        Writable::Data => None,
    });
    let read = asked.read.iter().map(|path| (READ, path.as_path()));
    read.chain(written).map(|(key, path)| Ok((key, open(key, path)?, path)))
}

fn open(key: &str, path: &Path) -> Result<PathFd, String> {
    let why = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        _ => error.to_string(),
    };
    let failed = |why: String| {
        format!("`{key}`: {}: {why}; create it, or remove it from the list", path.display())
    };
    std::fs::metadata(path).map_err(|error| failed(why(error)))?;
    PathFd::new(path).map_err(|error| failed(error.to_string()))
}

fn ruleset(
    granted: Vec<(PathFd, &Path, BitFlags<AccessFs>)>,
    network: Network,
) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset =
        Ruleset::default().handle_access(AccessFs::from_all(USED))?.scope(Scope::from_all(USED))?;
    if network == Network::None {
        // A second bound beside the one of `calls.rs`.
        ruleset = ruleset.handle_access(AccessNet::from_all(USED))?;
    }
    let mut created = ruleset.create()?;
    for (fd, path, access) in granted {
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(USED) };
        created = created.add_rule(PathBeneath::new(fd, access))?;
    }
    Ok(created)
}

/// Puts the rules in force, and reports what that bounds.
pub(super) fn enforce(
    rules: Option<RulesetCreated>,
    asked: &Confine,
    system: System,
    report: &mut Report,
) -> Result<(), String> {
    let means = match rules {
        Some(rules) => {
            let status = rules.restrict_self().map_err(|error| format!("landlock: {error}"))?;
            means(status.landlock)
        }
        None => String::new(),
    };
    let files = || files(system).map(|()| means.clone());
    let write: Vec<String> = asked.write.iter().map(written).collect();
    let read: Vec<String> = asked.read.iter().map(|path| path.display().to_string()).collect();
    report.add(READ, Some(list(&read)), |_| files())?;
    report.add(WRITE, Some(list(&write)), |_| files())?;
    report.add("signals", Some("its own processes"), |_| signals(system, means))
}

fn means(status: LandlockStatus) -> String {
    match status {
        LandlockStatus::Available { kernel_abi: Some(version), .. } => {
            format!("landlock {version}")
        }
        LandlockStatus::Available { effective_abi, .. } => format!("landlock {effective_abi}"),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => String::new(),
    }
}

/// Whether files are bounded.
pub(crate) fn files(system: System) -> Result<(), String> {
    match system.landlock {
        0 => Err("the kernel has no landlock; Linux 6.12 has, unless it was switched off".into()),
        version if version < TRUNCATE => Err(format!(
            "the kernel has landlock {version}, with which all files can be truncated; Linux 6.12 \
             is needed"
        )),
        _ => Ok(()),
    }
}

/// Whether processes outside are safe from signals.
pub(crate) fn signals(system: System, landlock: String) -> Result<String, String> {
    match system {
        System { landlock: version, .. } if version >= SIGNALS => Ok(landlock),
        System { other_user: true, .. } => Ok("its user".into()),
        System { landlock: version, .. } => Err(format!(
            "the kernel has landlock {version}, and {SIGNALS} (Linux 6.12) is needed; or add `user`"
        )),
    }
}

fn written(writable: &Writable) -> String {
    match writable {
        Writable::Data => "data".into(),
        Writable::Path(path) => path.display().to_string(),
    }
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".into(),
        items => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_landlock_bounds_no_files() {
        let system = |landlock| System { landlock, other_user: false };
        assert!(files(system(0)).unwrap_err().starts_with("the kernel has no landlock"));
        assert!(files(system(2)).unwrap_err().contains("all files can be truncated"));
        assert_eq!((files(system(3)), files(system(7))), (Ok(()), Ok(())));
    }

    #[test]
    fn signals_need_landlock_6_or_another_user() {
        let signals =
            |landlock, other_user| signals(System { landlock, other_user }, "landlock".into());
        assert_eq!(signals(6, false), Ok("landlock".into()));
        assert_eq!(signals(5, true), Ok("its user".into()));
        let why = "the kernel has landlock 5, and 6 (Linux 6.12) is needed; or add `user`";
        assert_eq!(signals(5, false), Err(why.into()));
    }
}
