//! Runs groups of contenders round by round, so that a disturbance of the machine affects all of
//! them.

use std::time::Duration;

use serde::Serialize;
use trunkline_tests::demo::Interrupt;

use crate::contender::{Contender, Group, Metric, Sample, Work};
use crate::plan::Plan;
use crate::statistics::Spread;

/// The results of a group.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) metric: Metric,
    pub(crate) x: usize,
    pub(crate) rows: Vec<Row>,
}

/// The results of a contender.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) baseline: Option<String>,
    /// One for each round; none if it was skipped.
    pub(crate) samples: Vec<Sample>,
    /// Why it was skipped.
    pub(crate) skipped: Option<String>,
}

/// The values of one row.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    /// Seconds for each operation, or bytes for each second.
    pub(crate) value: Spread,
    /// The 99th percentile of an operation, in seconds.
    pub(crate) p99: Option<Spread>,
    /// The ratio to the baseline, by round.
    pub(crate) ratio: Option<Spread>,
    /// Processor seconds for a million messages.
    pub(crate) cpu_per_million: Option<Spread>,
    /// Processor seconds for a GiB.
    pub(crate) cpu_per_gib: Option<Spread>,
    /// The smallest and the largest share of a channel, as multiples of the fair share.
    pub(crate) shares: Option<(f64, f64)>,
}

/// Runs groups, and keeps their results.
pub(crate) struct Rounds {
    plan: Plan,
    interrupt: Interrupt,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Rounds {
    /// An empty list of results. SIGINT from now on ends the run in order.
    pub(crate) fn new(plan: Plan) -> Result<Rounds, String> {
        Ok(Rounds { plan, interrupt: Interrupt::catch()?, outcomes: Vec::new() })
    }

    /// Whether to continue.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.interrupt.check()
    }

    /// Runs a group with turns of the planned length.
    pub(crate) fn run(&mut self, group: Group<'_>) -> Result<(), String> {
        self.run_for(self.plan.turn, group)
    }

    /// Runs a group: one round that does not count, then as many as planned.
    pub(crate) fn run_for(&mut self, length: Duration, mut group: Group<'_>) -> Result<(), String> {
        if self.plan.only.as_ref().is_some_and(|only| !group.title.contains(only)) {
            return Ok(());
        }
        eprintln!("  {}", group.title);
        let mut rows: Vec<Row> = group.contenders.iter().map(Row::of).collect();
        for round in 0..=self.plan.rounds {
            // The first one warms caches, connections and the branch predictor.
            let length = if round == 0 { length / 4 } else { length };
            for (contender, row) in group.contenders.iter_mut().zip(&mut rows) {
                self.check()?;
                let sample = turn(contender, length);
                let sample =
                    sample.map_err(|why| format!("{}: {}: {why}", group.title, row.name))?;
                row.samples.extend(sample.filter(|_| round > 0));
            }
        }
        let Group { key, title, metric, x, .. } = group;
        self.outcomes.push(Outcome { key, title, metric, x, rows });
        Ok(())
    }
}

fn turn(contender: &mut Contender<'_>, length: Duration) -> Result<Option<Sample>, String> {
    match &mut contender.work {
        Work::Turn(turn) => turn(length).map(Some),
        Work::Skipped(_) => Ok(None),
    }
}

impl Row {
    fn of(contender: &Contender<'_>) -> Row {
        let skipped = match &contender.work {
            Work::Turn(_) => None,
            Work::Skipped(why) => Some(why.clone()),
        };
        let (name, baseline) = (contender.name.clone(), contender.baseline.clone());
        Row { name, baseline, samples: Vec::new(), skipped }
    }

    /// The compared quantity, by round.
    pub(crate) fn values(&self, metric: Metric) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.value(metric)).collect()
    }
}

impl Outcome {
    /// The contender of this name.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The ratio of a contender to another one, by round.
    pub(crate) fn ratio(&self, of: &str, against: &str) -> Option<Spread> {
        let [of, against] = [of, against].map(|name| self.row(name));
        Spread::of_ratios(&of?.values(self.metric), &against?.values(self.metric))
    }

    /// The values of a row in one line; `None` if the contender was skipped.
    pub(crate) fn summary(&self, row: &Row) -> Option<Summary> {
        let spread = |of: &dyn Fn(&Sample) -> f64| Spread::of(row.samples.iter().map(of));
        let p99 = row.samples.iter().filter_map(|sample| Some(sample.percentiles?.1));
        let least = row.samples.iter().filter_map(|sample| Some(sample.shares?.0));
        let most = row.samples.iter().filter_map(|sample| Some(sample.shares?.1));
        let shares = Spread::of(least).zip(Spread::of(most));
        Some(Summary {
            value: Spread::of(row.values(self.metric))?,
            p99: Spread::of(p99),
            ratio: row.baseline.as_ref().and_then(|baseline| self.ratio(&row.name, baseline)),
            cpu_per_million: spread(&|sample| sample.cpu / sample.operations * 1e6),
            cpu_per_gib: spread(&|sample| sample.cpu / sample.bytes * f64::from(1 << 30)),
            shares: shares.map(|(least, most)| (least.median, most.median)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { turn: Duration::from_millis(4), ..Plan::quick() }
    }

    #[test]
    fn only_selected_groups_are_measured() {
        let mut rounds = Rounds::new(Plan { only: Some("links".to_owned()), ..plan() }).unwrap();
        for title in ["Many links", "One channel"] {
            let contenders = vec![Contender::new("a", |_| Ok(Sample::of(1, 1, 1.0)))];
            let (title, metric) = (title.to_owned(), Metric::Rate);
            rounds.run(Group { key: "test", title, metric, x: 0, contenders }).unwrap();
        }
        let titles: Vec<&str> = rounds.outcomes.iter().map(|it| it.title.as_str()).collect();
        assert_eq!(titles, ["Many links"]);
    }

    #[test]
    fn contenders_take_turns_and_the_first_round_is_not_counted() {
        let turns = std::cell::RefCell::new(Vec::new());
        let contender = |name: &'static str, seconds: f64| {
            let turns = &turns;
            Contender::new(name, move |length| {
                turns.borrow_mut().push((name, length.as_millis()));
                Ok(Sample { cpu: 2.0, ..Sample::of(10, 1 << 30, seconds) })
            })
        };
        let missing = Contender::skipped("missing", "not installed");
        let contenders = vec![contender("a", 1.0), contender("b", 2.0).against("a"), missing];
        let metric = Metric::Latency;
        let group = Group { key: "test", title: String::new(), metric, x: 0, contenders };
        let mut rounds = Rounds::new(plan()).expect("signals can be caught");
        rounds.run(group).expect("all turns are fine");
        let outcome = &rounds.outcomes[0];
        assert_eq!(turns.borrow()[..4], [("a", 1), ("b", 1), ("a", 4), ("b", 4)]);
        assert_eq!(turns.borrow().len(), 2 * 6, "five rounds and one before");
        let summary = outcome.summary(&outcome.rows[1]).expect("it was measured");
        assert_eq!(summary.ratio.map(|ratio| ratio.median), Some(2.0));
        assert_eq!(summary.value.median, 0.2);
        assert_eq!(summary.cpu_per_gib.map(|cpu| cpu.median), Some(2.0));
        assert_eq!(summary.cpu_per_million.map(|cpu| cpu.median), Some(200_000.0));
        assert!(outcome.summary(&outcome.rows[2]).is_none(), "what was skipped has no numbers");
    }

    #[test]
    fn an_error_names_the_contender() {
        let contender = Contender::new("a", |_| Err("the socket is gone".to_owned()));
        let (metric, contenders) = (Metric::Rate, vec![contender]);
        let group = Group { key: "test", title: "Test".into(), metric, x: 0, contenders };
        let mut rounds = Rounds::new(plan()).expect("signals can be caught");
        let error = rounds.run(group).expect_err("the turn failed");
        assert_eq!(error, "Test: a: the socket is gone");
    }
}
