//! Plain English in documents, comments and names of functions: narrow Markdown, and no phrases of
//! a private dialect.

use super::{Finding, Source};

/// Columns of a line of Markdown.
const COLUMNS: usize = 110;

/// A phrase that is not used, and what to write instead.
struct Banned {
    phrase: &'static str,
    instead: &'static str,
    texts: Texts,
}

/// The texts in which a phrase is not used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Texts {
    /// Documents.
    Documents,
    /// Documents, and comments of Rust.
    Comments,
    /// Documents, comments of Rust, and names of functions, where `_` stands for a space.
    Names,
}

const fn banned(phrase: &'static str, instead: &'static str) -> Banned {
    Banned { phrase, instead, texts: Texts::Comments }
}

const fn banned_in_names(phrase: &'static str, instead: &'static str) -> Banned {
    Banned { phrase, instead, texts: Texts::Names }
}

/// Phrases are found as whole words, with their capitals.
const BANNED: &[Banned] = &[
    // A sentence that begins so has no noun as its subject.
    banned("Who", "name the thing: the peer, the caller, the acceptor"),
    banned("Whoever", "name the thing: the peer, the caller, the acceptor"),
    banned_in_names("whoever", "name the thing: the peer, the caller, the acceptor"),
    banned_in_names("nobody", "name what does not: no plugin, no peer"),
    banned("Nobody", "name what does not: no plugin, no peer"),
    banned_in_names("somebody", "name the thing: a plugin, a peer"),
    banned_in_names("everybody", "name them: all plugins, all peers"),
    banned_in_names("for ever", "forever"),
    banned_in_names("in vain", "without success, or say what failed"),
    banned("at the most", "at most"),
    banned("hung up", "closed the connection"),
    banned("hangs up", "closes the connection"),
    banned("became of", "the outcome of"),
    banned("becomes of", "the outcome of"),
    banned("has to do with", "uses, concerns"),
    banned("have to do with", "use, concern"),
    banned("takes back", "cancels"),
    banned("will do", "suffices"),
    banned("of its own accord", "unsolicited"),
    banned("is heard", "is received, is accepted"),
    banned("are heard", "are received, are accepted"),
    banned("not heard", "ignored"),
    banned("so manieth", "every N-th"),
    banned("anybody", "name the thing: any peer, any user"),
    banned("look at the clock", "reading of the clock"),
    banned("looks at the clock", "readings of the clock"),
    banned("had its time", "timed out"),
    banned("had their time", "timed out"),
    banned("slip of the fingers", "typing error"),
    banned("goes away", "ends, leaves, disconnects"),
    banned("under way", "in flight, in progress"),
    banned("says aloud", "prints"),
    banned("is good for", "allows, is valid for"),
    Banned { phrase: "sealed", instead: "encrypted", texts: Texts::Documents },
];

/// Documents are narrow, except tables and the targets of links.
#[must_use]
pub fn narrow_documents(document: &Source) -> Vec<Finding> {
    if !document.path.ends_with(".md") || is_exempt(document) {
        return Vec::new();
    }
    let text = document.lines().filter(|(_, line)| !line.starts_with('|'));
    let widths = text.map(|(number, line)| (number, without_targets(line).chars().count()));
    let wide = widths.filter(|(_, width)| *width > COLUMNS);
    let message = |width| format!("{width} columns, of at most {COLUMNS}; break the line");
    wide.map(|(number, width)| document.finding(number, message(width))).collect()
}

/// Documents, comments and names of functions are in plain English, as far as a list of phrases can
/// tell.
#[must_use]
pub fn plain_english(source: &Source) -> Vec<Finding> {
    let document = source.path.ends_with(".md");
    if !(document || source.is_rust()) || is_exempt(source) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in source.lines() {
        let text = if document { Some((line.into(), Texts::Documents)) } else { text_of(line) };
        let Some((text, kind)) = text else { continue };
        let used = BANNED.iter().filter(|banned| banned.texts >= kind);
        for Banned { phrase, instead, .. } in used.filter(|banned| has_phrase(&text, banned.phrase))
        {
            let message = format!("\"{phrase}\" is not plain English here; write: {instead}");
            findings.push(source.finding(number, message));
        }
    }
    findings
}

fn is_exempt(source: &Source) -> bool {
    // This file has to spell the phrases out.
    source.path.ends_with("tidy/words.rs")
}

/// The English of a line of Rust: a comment that fills it, or the name of a function.
fn text_of(line: &str) -> Option<(String, Texts)> {
    let comment = comment(line).map(|text| (text.to_owned(), Texts::Comments));
    comment.or_else(|| function(line).map(|name| (name.replace('_', " "), Texts::Names)))
}

/// The name of the function that a line of Rust begins.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_item = before.is_empty() || before.ends_with(' ');
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    is_item.then(|| &after[..end])
}

/// The comment that fills a line of Rust, without its slashes.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.trim_start_matches(['/', '!']))
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    super::source::has_word(text, phrase)
}

/// A line of Markdown as it is read: `[text](target)` without the target.
fn without_targets(line: &str) -> String {
    let mut pieces = line.split("](");
    let mut seen = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        seen.push(']');
        seen.push_str(piece.split_once(')').map_or(piece, |(_, rest)| rest));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str, rule: fn(&Source) -> Vec<Finding>) -> Vec<usize> {
        rule(&Source::new(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn wide_lines_of_documents_are_found_except_tables_and_targets() {
        let (fits, wide) = ("x".repeat(COLUMNS), "x".repeat(COLUMNS + 1));
        let link = format!("see [this](https://example.com/{wide})");
        let text = format!("{fits}\n{wide}\n| {wide} |\n{link}\n");
        assert_eq!(lines("A.md", &text, narrow_documents), [2]);
        assert_eq!(lines("a.rs", &text, narrow_documents), NONE, "no document");
    }

    #[test]
    fn banned_phrases_are_found_in_documents_and_comments_only() {
        let rust = "/// Who asks is told.\nlet who = \"Who\";\n    // Kept for ever.\n//! Plain.\n";
        assert_eq!(lines("server/shs/src/a.rs", rust, plain_english), [1, 3]);
        assert_eq!(
            lines("A.md", "Nobody knows.\nSealed bytes.\nsealed bytes\n", plain_english),
            [1, 3]
        );
        assert_eq!(
            lines("a.rs", "// a sealed memory file\n", plain_english),
            NONE,
            "a kernel's word"
        );
        assert_eq!(lines("A.md", "The Whole is fine.\n", plain_english), NONE, "a longer word");
    }

    #[test]
    fn a_few_phrases_are_found_in_names_of_functions() {
        let rust =
            "    pub fn serves_nobody_here(a: u8) {}\nfn waits_in_vain<T>() {}\nlet nobody = 1;\n";
        assert_eq!(lines("a.rs", rust, plain_english), [1, 2]);
        assert_eq!(
            lines("a.rs", "fn whose_nobodyness() {}\n", plain_english),
            NONE,
            "a longer word"
        );
        assert_eq!(lines("a.rs", "fn goes_away() {}\n", plain_english), NONE, "of comments only");
    }

    #[test]
    fn each_phrase_is_found_and_named_with_its_replacement() {
        for Banned { phrase, instead, .. } in BANNED {
            let source = Source::new("A.md", &format!("It is {phrase}, so.\n"));
            let found = plain_english(&source);
            assert_eq!(found.len(), 1, "{phrase}: {found:?}");
            let message = found[0].to_string();
            assert!(message.contains(phrase) && message.contains(instead), "{message}");
        }
    }
}
