//! Single numbers beside the groups: memory, scale, instructions.

use serde::Serialize;

/// One number, or the reason why there is none.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fact {
    /// The subject of the number.
    pub(crate) section: &'static str,
    pub(crate) name: String,
    /// The number of items that were measured.
    pub(crate) count: usize,
    pub(crate) value: Option<f64>,
    pub(crate) unit: &'static str,
    /// The reason why there is no number.
    pub(crate) skipped: Option<String>,
}

impl Fact {
    pub(crate) fn new(
        section: &'static str,
        name: impl Into<String>,
        count: usize,
        value: f64,
        unit: &'static str,
    ) -> Fact {
        Fact { section, name: name.into(), count, value: Some(value), unit, skipped: None }
    }

    pub(crate) fn skipped(
        section: &'static str,
        name: impl Into<String>,
        why: impl Into<String>,
    ) -> Fact {
        let (name, skipped) = (name.into(), Some(why.into()));
        Fact { section, name, count: 0, value: None, unit: "", skipped }
    }
}
