//! The names of files, and the purpose that each file states.

use super::source::has_word;
use super::{Finding, Source};

/// Empty names: the content of such a file belongs somewhere else.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// No file, folder or module has an empty name.
#[must_use]
pub fn no_empty_names(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let say = |name: &str| format!("{name} says nothing; name it after what it does");
    for part in source.path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            findings.push(source.finding(1, say(part)));
        }
    }
    for (number, line) in source.all_code() {
        let named = |name: &&&str| has_word(line, &format!("mod {name}"));
        if let Some(name) = EMPTY_NAMES.iter().find(named) {
            findings.push(source.finding(number, say(name)));
        }
    }
    findings
}

/// Each Rust file begins with a sentence that states its purpose.
#[must_use]
pub fn says_what_it_is_for(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|sentence| !sentence.trim().is_empty());
    let message = "does not begin with `//! `; say in one sentence what the file is for";
    let silent = source.is_rust() && !says;
    silent.then(|| source.finding(1, message)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for (path, text) in [
            ("server/src/util.rs", ""),
            ("server/src/helpers/mod.rs", ""),
            ("server/src/lib.rs", "pub mod misc;"),
        ] {
            assert_eq!(no_empty_names(&Source::new(path, text)).len(), 1, "{path}");
        }
        let fine = Source::new("server/src/commonplace.rs", "mod managers; // mod util");
        assert_eq!(no_empty_names(&fine), []);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        for text in ["", "use a;\n//! late", "//!\n", "// not a doc", "//! "] {
            let findings = says_what_it_is_for(&Source::new("a.rs", text));
            assert_eq!(findings.len(), 1, "{text:?}");
        }
        assert_eq!(says_what_it_is_for(&Source::new("a.rs", "//! It is for this.\n")), []);
        assert_eq!(says_what_it_is_for(&Source::new("a.md", "text")), []);
    }
}
