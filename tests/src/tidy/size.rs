//! Limits of size, because code that does not fit on a few screens is hard to understand.

use super::source::end_of_item;
use super::{Finding, Source};

/// Lines of a file, without its tests.
const FILE_MAX: usize = 500;
/// Lines of a function, with its signature.
const FUNCTION_MAX: usize = 70;
/// Columns of a line, so that two files fit beside each other.
const LINE_MAX: usize = 100;

/// No file is too long. Tests do not count: a table of cases may be as long as there are cases.
#[must_use]
pub fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.shipped_code().count();
    let long = lines > FILE_MAX;
    let message = format!(
        "{lines} lines without tests, of at most {FILE_MAX}; move one of its thoughts to a file of \
         its own"
    );
    long.then(|| source.finding(1, message)).into_iter().collect()
}

/// No function is too long.
#[must_use]
pub fn function_length(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.all_code() {
        let Some(name) = function_name(line) else { continue };
        let Some(end) = end_of_item(&source.code, number - 1) else { continue };
        let lines = end + 2 - number;
        if lines > FUNCTION_MAX {
            let message = format!(
                "fn {name} has {lines} lines, of at most {FUNCTION_MAX}; give its parts names"
            );
            findings.push(source.finding(number, message));
        }
    }
    findings
}

/// No line is too wide; rustfmt leaves comments and literals alone.
#[must_use]
pub fn line_width(source: &Source) -> Vec<Finding> {
    let widths = source.lines().map(|(number, line)| (number, line.chars().count()));
    let wide = widths.filter(|(_, width)| source.is_rust() && *width > LINE_MAX);
    let message = |width| format!("{width} columns, of at most {LINE_MAX}; break the line");
    wide.map(|(number, width)| source.finding(number, message(width))).collect()
}

/// The name of the function whose signature begins in this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let ends_word = before.is_empty() || before.ends_with([' ', '{', '\t']);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (ends_word && end > 0).then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_a_long_test_is_not() {
        let lines = "// x\n".repeat(FILE_MAX);
        assert_eq!(file_length(&Source::new("a.rs", &lines)), []);
        let long = Source::new("a.rs", &format!("{lines}// y\n"));
        assert_eq!(file_length(&long).len(), 1);
        let tests = format!("{lines}#[cfg(test)]\nmod tests {{\n{lines}}}\n");
        assert_eq!(file_length(&Source::new("a.rs", &tests)), []);
    }

    #[test]
    fn a_long_function_is_found_at_its_line() {
        let body = "    call();\n".repeat(FUNCTION_MAX - 2);
        let fits = format!("\npub fn fits(\n) {{\n{}}}\n", body.replacen("    call();\n", "", 1));
        assert_eq!(function_length(&Source::new("a.rs", &fits)), []);
        let long = Source::new("a.rs", &format!("\nimpl A {{\n  fn long() {{\n{body}x\n}}\n}}\n"));
        let findings = function_length(&long);
        assert_eq!((findings.len(), findings[0].line), (1, 3), "{findings:?}");
        assert!(findings[0].message.starts_with("fn long has 71 lines"), "{findings:?}");
    }

    #[test]
    fn a_wide_line_is_found() {
        let text = format!("{}\n{}\n", "é".repeat(LINE_MAX), "x".repeat(LINE_MAX + 1));
        let findings = line_width(&Source::new("a.rs", &text));
        assert_eq!((findings.len(), findings[0].line), (1, 2), "{findings:?}");
        assert_eq!(line_width(&Source::new("a.md", &text)), []);
    }
}
