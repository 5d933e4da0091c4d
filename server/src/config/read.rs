//! Typed reading of TOML tables: a wrong type, a wrong value or an unknown key becomes a problem,
//! and reading goes on.

use super::problem::{Report, suggestion};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table, and the keys that have been read. All others in it are unknown.
pub(super) struct Table<'t> {
    /// Its header, such as `[server]`.
    what: &'static str,
    span: Range<usize>,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
}

/// A string of the file.
pub(super) struct Text<'t> {
    /// Its key in the table.
    pub(super) key: &'static str,
    pub(super) text: &'t str,
    pub(super) span: Range<usize>,
}

impl Text<'_> {
    /// Reports the string as wrong; `why` also says what to do.
    pub(super) fn reject(&self, report: &mut Report<'_>, why: impl std::fmt::Display) {
        report.problem(&self.span, format!("`{}`: {:?}: {why}", self.key, self.text));
    }

    /// Reports the string as a duplicate in its list.
    pub(super) fn reject_duplicate(&self, report: &mut Report<'_>) {
        self.reject(report, "given twice; remove one");
    }

    /// The value of the word among these choices; another word is a problem.
    pub(super) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let chosen = choices.iter().find(|(word, _)| *word == self.text);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.reject(report, format!("not a known value{}", suggestion(self.text, &words)));
        }
        chosen.map(|(_, value)| *value)
    }
}

impl<'t> Table<'t> {
    pub(super) fn new(what: &'static str, span: Range<usize>, entries: &'t DeTable<'t>) -> Self {
        Table { what, span, entries, known: Vec::new() }
    }

    /// Its header, such as `[server]`.
    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    /// The place of its header.
    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Text<'t>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Text { key, text, span: value.span() }),
            _ => wrong_type(report, key, "a string", value),
        }
    }

    /// As [`Table::string`], but an absent key is a problem.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Option<Text<'t>> {
        if !self.entries.contains_key(key) {
            let message = format!("{}: `{key}` is missing; add `{example}`", self.what);
            report.missing(Some(&self.span), message);
        }
        self.string(key, report)
    }

    pub(super) fn strings(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Text<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(elements) = value.get_ref() else {
            wrong_type::<()>(report, key, "a list of strings", value);
            return Vec::new();
        };
        let mut text = |element: &'t Spanned<DeValue<'t>>| match element.get_ref() {
            DeValue::String(text) => Some(Text { key, text, span: element.span() }),
            _ => wrong_type(report, key, "a list of strings", element),
        };
        elements.iter().filter_map(&mut text).collect()
    }

    pub(super) fn flag(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => wrong_type(report, key, "true or false", value),
        }
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        report: &mut Report<'_>,
    ) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return wrong_type(report, key, "a whole number", value);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let legal = number.filter(|number| range.contains(number));
        if legal.is_none() {
            let (least, most) = (range.start(), range.end());
            let why = format!("`{key}`: {integer} is not from {least} to {most}");
            report.problem(&value.span(), why);
        }
        legal
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        self.string(key, report)?.choice(choices, report)
    }

    pub(super) fn table(
        &mut self,
        key: &'static str,
        what: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Table<'t>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(what, value.span(), entries)),
            _ => wrong_type(report, key, "a table", value),
        }
    }

    /// A list of tables, such as `[[peer]]`.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        what: &'static str,
        report: &mut Report<'_>,
    ) -> Vec<Table<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(elements) = value.get_ref() else {
            report.problem(&value.span(), format!("`{key}`: write {what}, with two brackets"));
            return Vec::new();
        };
        let mut table = |element: &'t Spanned<DeValue<'t>>| match element.get_ref() {
            DeValue::Table(entries) => Some(Table::new(what, element.span(), entries)),
            _ => wrong_type(report, key, "a list of tables", element),
        };
        elements.iter().filter_map(&mut table).collect()
    }

    /// Reports all keys that were not read; call it last.
    pub(super) fn refuse_unknown(self, report: &mut Report<'_>) {
        for written in self.entries.keys() {
            let key = written.get_ref().as_ref();
            if !self.known.contains(&key) {
                let (what, suggestion) = (self.what, suggestion(key, &self.known));
                report.problem(&written.span(), format!("{what}: unknown key `{key}`{suggestion}"));
            }
        }
    }
}

fn wrong_type<T>(
    report: &mut Report<'_>,
    key: &str,
    expected: &str,
    value: &Spanned<DeValue<'_>>,
) -> Option<T> {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    report.problem(&value.span(), format!("`{key}`: expected {expected}, found {found}"));
    None
}
