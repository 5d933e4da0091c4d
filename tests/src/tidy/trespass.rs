//! What does not belong in the project: paths of one machine, and registries of packages.

use super::{Finding, Source};

/// The beginnings of paths that exist on one machine only. They are assembled here, so that this
/// file is not a finding itself.
const PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/."), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Words in the addresses of package registries and their mirrors.
const REGISTRIES: [&str; 4] = [
    concat!("crates", ".io"),
    concat!("registry", "+http"),
    concat!("sparse", "+http"),
    concat!("[source", ".crates"),
];

/// The default registry of cargo, which the lock file names.
const DEFAULT_SOURCE: &str =
    concat!("source = \"registry", "+https://github.com/rust-lang/crates", ".io-index\"");

/// No file names a path of its author's machine.
#[must_use]
pub fn no_paths_of_a_machine(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The vectors are copied unchanged: other projects have them too.
    if source.is_below(&["tests/vectors/"]) {
        return findings;
    }
    for (number, line) in source.lines() {
        if let Some(path) = PATHS.iter().find(|path| starts_a_path(line, path)) {
            let message = format!("a path below {path}; write a relative one");
            findings.push(source.finding(number, message));
        }
    }
    findings
}

/// No file names a registry; the lock file names the default one.
#[must_use]
pub fn no_registries(source: &Source) -> Vec<Finding> {
    let lock = source.path.ends_with("Cargo.lock");
    let mut findings = Vec::new();
    for (number, line) in source.lines() {
        let named = REGISTRIES.iter().any(|name| line.contains(name));
        if named && !(lock && line == DEFAULT_SOURCE) {
            let message = "names a package registry; cargo finds its own, remove it";
            findings.push(source.finding(number, message));
        }
    }
    findings
}

/// What of this kind stands in a file that was built, if anything does.
#[must_use]
pub fn in_bytes(bytes: &[u8]) -> Option<&'static str> {
    let holds = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    PATHS.into_iter().chain(REGISTRIES).find(|word| holds(word))
}

/// Whether a path in this line is absolute and begins so; `a/home/b` is relative.
fn starts_a_path(line: &str, path: &str) -> bool {
    let inside = |before: &str| {
        before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}'))
    };
    line.match_indices(path).any(|(at, _)| !inside(&line[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found() {
        for path in PATHS {
            let text = format!("see {path}me/project");
            assert_eq!(no_paths_of_a_machine(&Source::new("a.md", &text)).len(), 1, "{path}");
            let relative = format!("see src{path}me");
            assert_eq!(no_paths_of_a_machine(&Source::new("a.md", &relative)), [], "{path}");
        }
    }

    #[test]
    fn what_stands_in_a_built_file_is_found() {
        for word in PATHS.into_iter().chain(REGISTRIES) {
            assert_eq!(in_bytes(format!("\0a{word}b\0").as_bytes()), Some(word));
        }
        assert_eq!(in_bytes(b"\x7fELF\0/golden/src/lib.rs\0"), None);
    }

    #[test]
    fn a_registry_is_found() {
        for name in REGISTRIES {
            let text = format!("from {name}/a\n");
            assert_eq!(no_registries(&Source::new("README.md", &text)).len(), 1, "{name}");
            assert_eq!(no_registries(&Source::new("Cargo.lock", &text)).len(), 1, "{name}");
        }
        assert_eq!(no_registries(&Source::new("Cargo.lock", DEFAULT_SOURCE)), []);
    }
}
