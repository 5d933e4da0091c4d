//! The report: for readers as a page, for programs as JSON.

mod json;
mod page;
mod plots;
mod quantity;
mod svg;
pub(crate) mod table;

use std::path::Path;
use std::time::Duration;

pub(crate) use quantity::bytes;

use crate::fact::Fact;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::rounds::Outcome;
use crate::targets::Target;

/// The results of a run.
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) machine: Machine,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) targets: Vec<Target>,
    pub(crate) took: Duration,
}

impl Report {
    /// The groups of one plot, in the order in which they were measured.
    pub(crate) fn of_key<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.key == key)
    }
}

/// Writes `report.html`, `report.json` and the plot of all routes, `latency.svg`, into a folder.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<(), String> {
    let files = [
        ("report.json", json::text(report)?),
        ("latency.svg", page::picture(&plots::latency(report))),
        ("report.html", page::text(report)),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}
