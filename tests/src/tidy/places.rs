//! Checks that the tables of a document name files and definitions that exist.

use super::source::has_word;
use super::{Finding, Source};

/// Folders in which a path of such a table may continue, beside the project's own.
const FOLDERS: [&str; 3] = ["", "server/core/src/broker/", "tests/tests/"];

/// The words before the name of a definition.
const DEFINES: [&str; 8] =
    ["fn", "struct", "enum", "const", "type", "trait", "static", "macro_rules!"];

/// A row of a table with the columns `file` and `function`.
#[derive(Debug)]
struct Row<'a> {
    line: usize,
    section: &'a str,
    file: &'a str,
    functions: &'a str,
}

/// Each row of a table with the columns `file` and `function` names a file of the project, and
/// definitions in it.
#[must_use]
pub fn lead_to_definitions(document: &Source, project: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in rows(document) {
        let Some(path) = spans(row.file).next() else {
            findings.push(document.finding(row.line, "names no file; write it as `path`"));
            continue;
        };
        let files: Vec<&Source> = files(path, project).collect();
        if files.is_empty() {
            let message = format!("{path} is no file of the project; mend the path");
            findings.push(document.finding(row.line, message));
            continue;
        }
        if spans(row.functions).next().is_none() {
            findings.push(document.finding(row.line, "names no definition; write it as `name`"));
        }
        for name in spans(row.functions) {
            if !files.iter().any(|file| defines(file, name)) {
                let message = format!("{path} defines no {name}; mend the name or the path");
                findings.push(document.finding(row.line, message));
            }
        }
    }
    findings
}

/// How many rows with a file and a function the section with this heading has.
#[must_use]
pub fn rows_in(document: &Source, section: &str) -> usize {
    rows(document).iter().filter(|row| row.section == section).count()
}

/// Each row of a table with the columns `file` and `test` names a test that is run each time.
#[must_use]
pub fn lead_to_tests(document: &Source, project: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in rows_of(document, "test") {
        let paths: Vec<&str> = spans(row.file).collect();
        let in_files = |name: &str| {
            let sources = paths.iter().flat_map(|path| files(path, project));
            let mut tests = sources.filter(|source| source.path.starts_with("tests/tests/"));
            tests.any(|source| source.text.contains(&format!("#[test]\nfn {name}() {{")))
        };
        let names: Vec<&str> = spans(row.functions).collect();
        if names.is_empty() {
            findings.push(document.finding(row.line, "names no test; write it as `name`"));
        }
        for name in names.into_iter().filter(|name| !in_files(name)) {
            let message = format!("{} has no test {name} that always runs", row.file);
            findings.push(document.finding(row.line, message));
        }
    }
    findings
}

/// The rows of all tables that have the columns `file` and `function`.
fn rows(document: &Source) -> Vec<Row<'_>> {
    rows_of(document, "function")
}

/// The rows of all tables that have the column `file`, and this one.
fn rows_of<'a>(document: &'a Source, function: &str) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let (mut section, mut columns) = ("", None);
    let mut in_table = false;
    for (line, text) in document.lines() {
        if let Some(heading) = text.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim();
        }
        let Some(cells) = cells(text) else {
            in_table = false;
            continue;
        };
        if !in_table {
            in_table = true;
            let at = |name| cells.iter().position(|cell| *cell == name);
            columns = at("file").zip(at(function));
        } else if let Some((file, function)) = columns
            && !cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')))
        {
            let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
            rows.push(Row { line, section, file: cell(file), functions: cell(function) });
        }
    }
    rows
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim_end().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The pieces of a cell that are code.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn files<'a>(path: &'a str, project: &'a [Source]) -> impl Iterator<Item = &'a Source> {
    let is_meant = move |source: &&Source| {
        FOLDERS.iter().any(|folder| source.path.strip_prefix(folder) == Some(path))
    };
    project.iter().filter(is_meant)
}

fn defines(file: &Source, name: &str) -> bool {
    let definitions = DEFINES.map(|word| format!("{word} {name}"));
    file.all_code().any(|(_, line)| definitions.iter().any(|text| has_word(line, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(table: &str) -> Vec<usize> {
        let project = [
            Source::new("server/core/src/broker/a/b.rs", "pub(crate) fn one() {}\n// fn two()\n"),
            Source::new("c.rs", "const TWO: u32 = 2;\nstruct Three<T>(T);\nfn f() { one() }\n"),
            Source::new("tests/tests/d.rs", "#[test]\nfn four() {}\n"),
        ];
        let text = format!("# Index\n| question | file | function |\n|---|---|---|\n{table}");
        let findings = lead_to_definitions(&Source::new("A.md", &text), &project);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_row_that_names_what_exists_is_right() {
        let table = "| x | `a/b.rs` | `one` |\n| y | `c.rs` | `TWO`, `Three` |\n\
                     | z | `server/core/src/broker/a/b.rs` | `one` |\n| w | `d.rs` | `four` |\n";
        assert_eq!(lines(table), [0; 0]);
    }

    #[test]
    fn a_file_that_does_not_exist_is_found() {
        assert_eq!(lines("| x | `a/c.rs` | `one` |\n| y | b.rs | `one` |\n"), [4, 5]);
        assert_eq!(lines("| x | `b.rs` | `one` |\n"), [4], "not relative to any folder");
    }

    #[test]
    fn a_name_that_is_not_defined_there_is_found() {
        for name in ["`two`", "`on`", "`f`", "one", "`TWO`"] {
            assert_eq!(lines(&format!("| x | `a/b.rs` | {name} |\n")), [4], "{name}");
        }
        assert_eq!(lines("| x | `c.rs` | `one` |\n"), [4], "a call is no definition");
    }

    #[test]
    fn other_tables_are_left_alone_and_rows_are_counted_by_section() {
        let text = "# A\n| file | what |\n|---|---|\n| `none.rs` | x |\n\n## Index\n\
                    | q | file | function |\n|---|---|---|\n| x | `c.rs` | `f` |\n\
                    | y | `c.rs` | `g` |\n# B\n| file | function |\n|---|---|\n| `d` | `e` |\n";
        let document = Source::new("A.md", text);
        assert_eq!(rows_in(&document, "Index"), 2);
        assert_eq!(rows_in(&document, "A"), 0);
        assert_eq!(rows(&document).len(), 3);
    }

    #[test]
    fn a_row_without_a_test_that_always_runs_is_found() {
        let text = "#[test]\nfn one() {\n}\n#[test]\n#[ignore = \"long\"]\nfn two() {\n}\n\
                    fn three() {\n}\n";
        let project = [Source::new("tests/tests/d.rs", text), Source::new("server/d.rs", text)];
        let lines = |rows: &str| {
            let text = format!("# A\n| bound | file | test |\n|---|---|---|\n{rows}");
            let findings = lead_to_tests(&Source::new("S.md", &text), &project);
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert!(lines("| a | `d.rs` | `one` |\n").is_empty());
        for wrong in ["`d.rs` | `two`", "`d.rs` | `three`", "`server/d.rs` | `one`", "`d.rs` | one"]
        {
            assert_eq!(lines(&format!("| a | {wrong} |\n")), [4], "{wrong}");
        }
    }
}
