//! Parses a file to TOML tables. Reading goes on after an error of syntax, so that other problems
//! are found too.

use super::problem::{Problem, Report};
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest configuration file in bytes; a thousand plugins need a tenth of it.
const FILE_MAX: u64 = 4 << 20;

/// The text of a configuration file.
pub(super) fn read_file(file: &Path) -> Result<String, Problem> {
    let problem = |message: String| Problem { file: file.into(), line: None, message };
    let metadata = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => problem("no such file; name one with --config".into()),
        _ => problem(format!("cannot be read: {error}")),
    })?;
    if !metadata.is_file() {
        return Err(problem("not a file; name a configuration file with --config".into()));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file);
    opened
        .and_then(|opened| opened.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(problem(format!(
            "longer than {FILE_MAX} bytes; is this a configuration file?"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let message = "not UTF-8 text; is this a configuration file?".into();
        Problem { file: file.into(), line: Some(line), message }
    })
}

/// The tables of the text, as far as they can be parsed.
pub(super) fn parse<'t>(report: &mut Report<'t>) -> Spanned<DeTable<'t>> {
    let (tables, errors) = DeTable::parse_recoverable(report.text);
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    // The parser takes all that follows an unclosed array for its elements. Only the array is
    // reported.
    let unclosed = errors.iter().find(|(_, message)| message.starts_with("unclosed array"));
    let array = unclosed.and_then(|(end, _)| unclosed_array(tables.get_ref(), end.start));
    if let Some(array) = array {
        errors.retain(|(span, _)| span.start < array.start);
        report.problem(&array, "syntax: this list does not end; add a `]`".into());
        report.mark_unreadable(report.line(&array)..usize::MAX);
    }
    let mut last_line = 0;
    for (span, message) in errors {
        let line = report.line(&span);
        // A second error in one line mostly has the same cause as the first.
        if line != last_line {
            report_error(report, &span, message);
        }
        last_line = line;
    }
    tables
}

fn report_error(report: &mut Report<'_>, span: &Range<usize>, message: &str) {
    match (message, report.text.get(span.clone())) {
        ("duplicate key", Some(key)) => {
            report.problem(span, format!("`{key}`: given twice; remove one"));
        }
        _ => {
            report.problem(span, format!("syntax: {}", message.replace('\n', " ")));
            let line = report.line(span);
            let text = report.text.lines().nth(line - 1).unwrap_or_default();
            // Without its header, the lines below seem to belong to another table.
            let header = text.trim_start().starts_with('[');
            report.mark_unreadable(line..if header { usize::MAX } else { line + 1 });
        }
    }
}

/// The outermost array that reaches to `end`.
fn unclosed_array(table: &DeTable<'_>, end: usize) -> Option<Range<usize>> {
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Array(_) if value.span().end >= end => Some(value.span()),
        DeValue::Array(elements) => elements.iter().find_map(|element| match element.get_ref() {
            DeValue::Table(inner) => unclosed_array(inner, end),
            _ => None,
        }),
        DeValue::Table(inner) => unclosed_array(inner, end),
        _ => None,
    })
}
