//! What was asked for, what is in force, and by which means.

use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// One bound of a confined process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// The key of `[plugin.confine]`, or a name for what is always bounded.
    pub(crate) bound: String,
    /// The value that was asked for.
    pub(crate) asked: String,
    pub(crate) in_force: bool,
    /// What enforces it, or why nothing does.
    pub(crate) means: String,
}

/// All bounds of a confined process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) bounds: Vec<Bound>,
    pub(crate) best_effort: bool,
}

impl Report {
    /// A report without bounds yet.
    pub(crate) fn new(best_effort: bool) -> Report {
        Report { bounds: Vec::new(), best_effort }
    }

    /// Enforces a bound, if it was asked for. `enforce` returns its means, or why there are none.
    /// That is an error, unless the bounds are a best effort.
    pub(super) fn add<T: Display>(
        &mut self,
        bound: &'static str,
        asked: Option<T>,
        enforce: impl FnOnce(&T) -> Result<String, String>,
    ) -> Result<(), String> {
        let Some(asked) = asked else { return Ok(()) };
        let enforced = enforce(&asked);
        let (in_force, means) = match enforced {
            Ok(means) => (true, means),
            Err(why) if self.best_effort => (false, why),
            Err(why) => {
                let advice = "`best-effort = true` starts it nevertheless";
                return Err(format!("`{bound}` = {asked} cannot be enforced: {why}; {advice}"));
            }
        };
        let (bound, asked) = (bound.into(), asked.to_string());
        self.bounds.push(Bound { bound, asked, in_force, means });
        Ok(())
    }

    /// The bounds that are not in force, in one line; `None` if all are.
    pub(crate) fn lacking(&self) -> Option<String> {
        let lacking = self.bounds.iter().filter(|bound| !bound.in_force);
        let texts: Vec<String> =
            lacking.map(|bound| format!("`{}` ({})", bound.bound, bound.means)).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(report: &mut Report) -> Result<(), String> {
        report.add("user", Some("kv"), |_| Err("the server may not change it".into()))
    }

    #[test]
    fn what_cannot_be_enforced_is_an_error_that_names_it() {
        let error = lacks(&mut Report::new(false)).unwrap_err();
        let expected = "`user` = kv cannot be enforced: the server may not change it; \
                        `best-effort = true` starts it nevertheless";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_best_effort_says_what_is_not_in_force() {
        let mut report = Report::new(true);
        report.add("processes", Some(1), |_| Ok("seccomp".into())).unwrap();
        assert_eq!(report.lacking(), None);
        lacks(&mut report).unwrap();
        report.add("memory-mib", None::<u64>, |_| Err("never asked".into())).unwrap();
        let expected = "`user` (the server may not change it)";
        assert_eq!(report.lacking().as_deref(), Some(expected));
        assert_eq!(report.bounds.len(), 2, "{report:?}");
    }
}
