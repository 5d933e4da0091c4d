//! A file of the project, as the rules see it.

use super::Finding;
use super::masking::masked;

/// A file: its text, and for Rust its code and which of it belongs to tests.
#[derive(Debug)]
pub struct Source {
    /// Relative to the project.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The lines of a Rust file, without comments and literals; none for other files.
    pub code: Vec<String>,
    /// For each line of `code`, whether it belongs to a test.
    tests: Vec<bool>,
}

impl Source {
    /// A file that has been read.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        let rust = path.ends_with(".rs");
        let code: Vec<String> = match rust {
            true => masked(text).lines().map(str::to_owned).collect(),
            false => Vec::new(),
        };
        let tests = match is_test_file(path) {
            true => vec![true; code.len()],
            false => test_lines(&code),
        };
        Self { path: path.into(), text: text.into(), code, tests }
    }

    /// Whether it is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it lies below a folder of the project.
    #[must_use]
    pub fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// All lines of the code with their numbers, from 1.
    pub fn all_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// As [`Source::all_code`], without tests.
    pub fn shipped_code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all_code().filter(|(number, _)| !self.tests[number - 1])
    }

    /// All lines of the text with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// A finding in this file.
    #[must_use]
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// Whether a line has this text as words of their own, not within longer ones.
#[must_use]
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let in_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = in_name(word.chars().next()) && in_name(line[..at].chars().next_back());
        let after = &line[at + word.len()..];
        let after = in_name(word.chars().next_back()) && in_name(after.chars().next());
        !before && !after
    })
}

/// The number of the line in which the block ends that begins with the first `{` at or behind a
/// line; `None` when a `;` comes before it. Numbers are from 0.
pub(super) fn end_of_item(code: &[String], from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (number, line) in code.iter().enumerate().skip(from) {
        for character in line.chars() {
            match character {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                '{' => braces += 1,
                '}' if braces == 1 => return Some(number),
                '}' => braces = braces.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// Files where cargo looks for tests, examples and benchmarks, or that are named as tests.
fn is_test_file(path: &str) -> bool {
    let folders = ["tests", "examples", "benches"];
    path.ends_with("_tests.rs") || path.split('/').any(|part| folders.contains(&part))
}

/// Marks the files of modules that exist only for tests.
pub(super) fn mark_test_modules(sources: &mut [Source]) {
    let declared: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in sources {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if declared.iter().any(|name| name == module) {
            source.tests.fill(true);
        }
    }
}

/// The modules in files of their own that a file declares for tests: their paths without `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let path = source.path.trim_end_matches(".rs");
    let (folder, stem) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = if ["mod", "lib", "main"].contains(&stem) { folder } else { path };
    let pairs = source.code.iter().zip(source.code.iter().skip(1));
    let after_test = pairs.filter(|(line, _)| line.trim() == "#[cfg(test)]").map(|pair| pair.1);
    let names = after_test.filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';'));
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// Marks the items that exist only for tests.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    for (number, line) in code.iter().enumerate() {
        if line.contains("#[cfg(test)]") || line.contains("#[test]") {
            let end = end_of_item(code, number).unwrap_or(number);
            marks[number..=end].fill(true);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_distinguished_from_shipped_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let shipped = |path| {
            let source = Source::new(path, text);
            source.shipped_code().map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(shipped("server/src/a.rs"), [1, 6]);
        assert_eq!(shipped("tests/src/a.rs"), [0; 0]);
        assert_eq!(shipped("server/shs/examples/a.rs"), [0; 0]);
    }

    #[test]
    fn a_module_in_its_own_file_may_be_a_test() {
        let tests = "#[cfg(test)]\nmod b;\nmod c;\n";
        for (parent, child) in [("x/lib.rs", "x/b.rs"), ("x/a.rs", "x/a/b/mod.rs")] {
            let mut sources = [(parent, tests), (child, "fn f() {}"), ("x/c.rs", "fn f() {}")]
                .map(|(path, text)| Source::new(path, text));
            mark_test_modules(&mut sources);
            let shipped = sources.map(|source| source.shipped_code().count());
            assert_eq!(shipped[1..], [0, 1], "{child}");
        }
    }

    #[test]
    fn a_word_is_not_a_part_of_a_word() {
        assert!(has_word("use std::fs;", "std::fs"));
        assert!(has_word("unsafe { f() }", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(!has_word("my_std::fs", "std::"));
        assert!(has_word("x.unwrap()", ".unwrap()"));
    }

    #[test]
    fn an_item_ends_with_its_block() {
        let code: Vec<String> =
            masked("fn a(b: [u8; 2])\n{\n if c { d }\n}\n}").lines().map(str::to_owned).collect();
        assert_eq!(end_of_item(&code, 0), Some(3));
        assert_eq!(end_of_item(&["mod a;".into(), "fn b() {}".into()], 0), None);
    }
}
