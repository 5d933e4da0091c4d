//! Problems of a configuration file, collected with their lines so that all are told together.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong with a file: what, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: PathBuf,
    /// The line, from 1; `None` when it is about the whole file.
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
        self.message.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => write!(f, "{c}"),
        })
    }
}

/// The problems and notes of one file while it is read.
pub(super) struct Report<'t> {
    pub(super) file: &'t Path,
    pub(super) text: &'t str,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    /// Lines that could not be understood: what is missing may stand there.
    lost: Vec<Range<usize>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Report<'t> {
        Report { file, text, problems: Vec::new(), notes: Vec::new(), lost: Vec::new() }
    }

    /// The line, from 1, on which a span begins.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: String) {
        let line = self.line(span);
        if !self.lost.iter().any(|lines| lines.contains(&line)) {
            let problem = self.at(Some(line), message);
            self.problems.push(problem);
        }
    }

    /// Something should be there and is not; silent when it may be where nothing was understood.
    pub(super) fn missing(&mut self, span: Option<&Range<usize>>, message: String) {
        if self.lost.is_empty() {
            let line = span.map(|span| self.line(span));
            let problem = self.at(line, message);
            self.problems.push(problem);
        }
    }

    pub(super) fn note(&mut self, span: &Range<usize>, message: String) {
        let note = self.at(Some(self.line(span)), message);
        self.notes.push(note);
    }

    /// These lines could not be understood: no problem is sought in them any more.
    pub(super) fn lose(&mut self, lines: Range<usize>) {
        self.lost.push(lines);
    }

    /// The notes, or the problems if there are any; each in the order of their lines.
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

/// `; did you mean ...?` when something known is close to what was written, else what is known.
pub(super) fn suggestion(written: &str, known: &[&str]) -> String {
    // Two edits are a slip of the fingers; more in a short word is another word.
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
