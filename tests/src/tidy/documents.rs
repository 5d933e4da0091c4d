//! Checks that the documents match the code, and that their links work.

use std::path::Path;

use super::{Finding, Source};

/// The first plugin in the README is the sample, character by character.
#[must_use]
pub fn shows_the_plugin(readme: &Source, plugin: &Source) -> Vec<Finding> {
    let blocks = blocks(&readme.text, "rust");
    let Some((line, shown)) = blocks.iter().find(|(_, text)| text.contains("export_plugin!"))
    else {
        return vec![readme.finding(1, format!("does not show {}; copy it in", plugin.path))];
    };
    let message = format!("this is not {}; copy it in again", plugin.path);
    let differs = *shown != plugin.text;
    differs.then(|| readme.finding(*line, message)).into_iter().collect()
}

/// Each piece of Rust in the README is a piece of a sample, character by character.
#[must_use]
pub fn shows_samples(readme: &Source, samples: &[Source]) -> Vec<Finding> {
    let is_shown = |text: &str| samples.iter().any(|sample| sample.text.contains(text));
    let blocks = blocks(&readme.text, "rust").into_iter();
    let invented = blocks.filter(|(_, text)| !is_shown(text));
    let message = "this is in no sample plugin; copy it from one";
    invented.map(|(line, _)| readme.finding(line, message)).collect()
}

/// The table in the section about reasons lists these codes, in this order.
#[must_use]
pub fn lists_the_codes(protocol: &Source, codes: &[&str]) -> Vec<Finding> {
    let rows = rows_of(protocol, "reasons");
    let line = rows.first().map_or(1, |(number, _)| *number);
    let listed: Vec<&str> = rows.iter().map(|(_, code)| *code).collect();
    let mut findings = Vec::new();
    for code in codes.iter().filter(|code| !listed.contains(code)) {
        findings.push(protocol.finding(line, format!("{code} is not listed; add it")));
    }
    for (number, code) in rows.iter().filter(|(_, code)| !codes.contains(code)) {
        findings.push(protocol.finding(*number, format!("no server says {code}; remove it")));
    }
    if findings.is_empty() && listed != codes {
        let message = "the codes have another order in the code; use that";
        findings.push(protocol.finding(line, message));
    }
    findings
}

/// Each relative link of a document leads to a file, and its `#` to a heading.
#[must_use]
pub fn broken_links(document: &Source, root: &Path) -> Vec<Finding> {
    if !document.path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, link) in links(document) {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
        let file = root.join(folder).join(path);
        let text = match path.is_empty() {
            true => Some(document.text.clone()),
            false if file.is_dir() => Some(String::new()),
            false => std::fs::read_to_string(&file).ok(),
        };
        let problem = match text {
            None => format!("{link} leads to no file; mend the link"),
            Some(text) if !anchor.is_empty() && !has_heading(&text, anchor) => {
                format!("{link} leads to no heading; mend the link")
            }
            Some(_) => continue,
        };
        findings.push(document.finding(number, problem));
    }
    findings
}

/// The fenced blocks of a language: the line of the fence, and the text.
#[must_use]
pub fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(named) if named == language => {
                found.push((at + 1, String::new()));
                inside = true;
            }
            _ if inside => {
                if let Some((_, block)) = found.last_mut() {
                    block.push_str(line);
                    block.push('\n');
                }
            }
            _ => {}
        }
    }
    found
}

/// The first cells of the table rows in a section, where they are code: line and text.
fn rows_of<'a>(document: &'a Source, section: &str) -> Vec<(usize, &'a str)> {
    let mut inside = false;
    let mut rows = Vec::new();
    for (number, line) in document.lines() {
        if line.starts_with('#') {
            inside = line.to_lowercase().ends_with(section);
        } else if inside
            && let Some(cell) = line.strip_prefix("| `")
            && let Some((code, _)) = cell.split_once('`')
        {
            rows.push((number, code));
        }
    }
    rows
}

/// The targets of relative links outside of fenced blocks, with their lines.
fn links(document: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in document.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let relative = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
        if !fenced {
            found.extend(targets.filter(relative).map(|target| (number, target)));
        }
    }
    found
}

/// Whether a document has a heading to which this anchor leads.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor_of(line.trim_start_matches('#'))).any(|found| found == anchor)
}

/// The anchor of a heading: small letters, digits and dashes.
fn anchor_of(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_differs_is_found() {
        let plugin = Source::new("echo.rs", "//! Echo.\nexport_plugin!(Echo);\n");
        let readme = |block: &str| {
            let text = format!("# A\n```rust\nlet x = 1;\n```\n\n```rust\n{block}```\n");
            shows_the_plugin(&Source::new("README.md", &text), &plugin)
        };
        assert_eq!(readme(&plugin.text), []);
        let differs = readme("//! Echo!\nexport_plugin!(Echo);\n");
        assert_eq!((differs.len(), differs[0].line), (1, 6), "{differs:?}");
        assert_eq!(readme("let y = 2;\n").len(), 1);
    }

    #[test]
    fn a_piece_that_is_in_no_sample_is_found() {
        let samples = [Source::new("a.rs", "fn a() {}\nfn b() {}\n"), Source::new("b.rs", "")];
        let readme = "```rust\nfn b() {}\n```\n```rust\nfn c() {}\n```\n";
        let findings = shows_samples(&Source::new("README.md", readme), &samples);
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [4], "{findings:?}");
    }

    #[test]
    fn a_code_too_many_or_too_few_is_found() {
        let document = |rows: &str| {
            let head = "## 1. Words\n| `x` | y |\n## 9. Reasons\n| code | a |\n";
            let text = format!("{head}{rows}## End");
            lists_the_codes(&Source::new("PROTOCOL.md", &text), &["one", "two"])
        };
        assert_eq!(document("| `one` | a |\n| `two` | b |\n"), []);
        assert_eq!(document("").len(), 2);
        assert_eq!(document("| `one` | a |\n| `two` | b |\n| `three` | c |\n").len(), 1);
        assert_eq!(document("| `two` | b |\n| `one` | a |\n").len(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let root = super::super::root();
        let text = "# A b, c\n[a](Cargo.toml) [b](none.md) [c](https://example.com/none)\n\
                    [d](#a-b-c) [e](#none) [f](tests) [g](README.md#none)\n```\n[h](none)\n```\n";
        let findings = broken_links(&Source::new("A.md", text), root);
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3, 3], "{findings:?}");
    }
}
