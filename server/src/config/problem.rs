//! Collects the problems of a configuration file with their lines, to report all of them together.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use trunkline_core::printable::Printable;

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The line, from 1; `None` if it concerns the whole file.
    pub line: Option<usize>,
    /// `what: why; what to do`, in one line.
    pub message: String,
}

impl fmt::Display for Problem {
    /// `FILE:LINE: what: why; what to do`, in one line without control characters: a key of the
    /// file may hold some, and problems are read on a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: ", self.file.display())?,
            None => write!(f, "{}: ", self.file.display())?,
        }
        write!(f, "{}", Printable(&self.message))
    }
}

/// The problems and notes of one file while it is read.
pub(super) struct Report<'t> {
    pub(super) file: &'t Path,
    pub(super) text: &'t str,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    /// Lines with an error of syntax. A key that seems missing may be there.
    unreadable: Vec<Range<usize>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Report<'t> {
        Report { file, text, problems: Vec::new(), notes: Vec::new(), unreadable: Vec::new() }
    }

    /// The line, from 1, on which a span begins.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: String) {
        let line = self.line(span);
        // Where a value is missing, the parser reports that, and makes up one that has no place.
        let made_up = *span == (0..0) && !self.unreadable.is_empty();
        if !made_up && !self.unreadable.iter().any(|lines| lines.contains(&line)) {
            let problem = self.at(Some(line), message);
            self.problems.push(problem);
        }
    }

    /// Reports a missing key or table, unless it may be in a line that could not be read.
    pub(super) fn missing(&mut self, span: Option<&Range<usize>>, message: String) {
        if self.unreadable.is_empty() {
            let line = span.map(|span| self.line(span));
            let problem = self.at(line, message);
            self.problems.push(problem);
        }
    }

    pub(super) fn note(&mut self, span: &Range<usize>, message: String) {
        let note = self.at(Some(self.line(span)), message);
        self.notes.push(note);
    }

    /// Further problems in these lines are not reported.
    pub(super) fn mark_unreadable(&mut self, lines: Range<usize>) {
        self.unreadable.push(lines);
    }

    /// The notes, or the problems if there are any, in the order of lines.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Vec<Problem>> {
        self.problems.sort_by_key(|problem| problem.line);
        self.notes.sort_by_key(|note| note.line);
        match self.problems.is_empty() {
            true => Ok(self.notes),
            false => Err(self.problems),
        }
    }

    fn at(&self, line: Option<usize>, message: String) -> Problem {
        Problem { file: self.file.into(), line, message }
    }
}

/// `; did you mean ...?` if a known word is similar, otherwise the list of known words.
pub(super) fn suggestion(written: &str, known: &[&str]) -> String {
    // One or two edits are a typing error; more make another word.
    const MOST_EDITS: usize = 2;
    let edits = |known: &str| strsim::damerau_levenshtein(&written.replace('_', "-"), known);
    let nearest = known.iter().map(|known| (edits(known), *known)).min();
    match nearest {
        Some((edits, known)) if edits <= MOST_EDITS && edits < known.len() => {
            format!("; did you mean `{known}`?")
        }
        _ => format!("; known are {}", known.join(", ")),
    }
}
