//! The house rules, as functions from a file to findings. `tests/tests/tidy.rs` runs them over the
//! project; here they are tested on small bad inputs.

pub mod documents;
pub mod forbidden;
pub mod layers;
mod masking;
pub mod naming;
pub mod places;
pub mod robustness;
pub mod size;
mod source;
pub mod trespass;
pub mod words;

use std::fmt;
use std::fs;
use std::path::Path;

pub use source::Source;

/// A place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the project.
    pub path: String,
    /// From 1; 1 also if the finding concerns the whole file.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// All text files of the project, in order, without build results.
///
/// # Panics
///
/// When a folder cannot be read.
#[must_use]
pub fn project() -> Vec<Source> {
    let mut sources = Vec::new();
    collect(root(), "", &mut sources);
    source::mark_test_modules(&mut sources);
    sources
}

/// The project's folder.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

fn collect(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, relative) = (entry.path(), format!("{prefix}{name}"));
        // In a second working tree `.git` is a file with a path in it.
        if name == ".git" {
            continue;
        }
        if path.is_dir() {
            let foreign = name == "target" || (name.starts_with('.') && name != ".ci");
            if !foreign {
                collect(&path, &format!("{relative}/"), sources);
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            sources.push(Source::new(&relative, &text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_the_place_first() {
        let finding = Source::new("a/b.rs", "").finding(7, "wrong; mend it");
        assert_eq!(finding.to_string(), "a/b.rs:7: wrong; mend it");
    }
}
