//! The page: one file without scripts and without external resources.

use super::plots::{self, Plot};
use super::svg::escape;
use super::{Report, table};
use crate::rounds::Outcome;
use crate::targets::Target;

const STYLE: &str = include_str!("page.css");

const INTRODUCTION: &str = "<p>What Trunkline costs, as ratios within one run to what the machine \
    can do bare and to what else one could use. Contenders take turns; each number is the median \
    of the rounds, with the least and the greatest beside it.</p>\n";

const ALL_NUMBERS: &str = "<h2>All numbers</h2>\n<p>Ratios are taken round by round: of times \
    where times are compared (less is better), of rates where rates are (more is better). CPU is \
    the processor time of all processes that took part, in seconds for a million messages and for \
    a GiB.</p>\n";

/// The whole document.
pub(crate) fn text(report: &Report) -> String {
    let plots: String = plots::all(report).iter().map(figure).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Trunkline: benchmarks</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         {}{}<section class=\"plots\">\n{plots}</section>\n{}{}</main>\n</body>\n</html>\n",
        head(report),
        targets(report),
        groups(report),
        facts(report),
    )
}

/// A plot as its own file, with the page's colours.
pub(crate) fn picture(plot: &Plot) -> String {
    let open = "<svg xmlns=\"http://www.w3.org/2000/svg\" style=\"background: var(--card)\"";
    let title = format!("</title>\n<style>\n{STYLE}</style>");
    plot.svg.replacen("<svg", open, 1).replacen("</title>", &title, 1)
}

fn head(report: &Report) -> String {
    let machine = &report.machine;
    let versions: Vec<String> =
        machine.crates.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let cores = match machine.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let rows = [
        ("Processor", format!("{}, {cores}", machine.processor)),
        ("System", machine.kernel.clone()),
        ("Compiler", machine.rustc.clone()),
        ("Versions", versions.join(", ")),
        ("Run", run_of(report)),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect();
    format!(
        "<header>\n<h1>Trunkline: benchmarks</h1>\n{INTRODUCTION}<dl>\n{rows}</dl>\n</header>\n"
    )
}

fn run_of(report: &Report) -> String {
    let plan = &report.plan;
    let (rounds, turn) = (plan.rounds, plan.turn.as_millis());
    let took = report.took.as_secs_f64();
    format!("{}: {rounds} rounds, turns of {turn} ms, {took:.0} s in all", plan.name)
}

fn figure(plot: &Plot) -> String {
    let class = if plot.wide { " class=\"wide\"" } else { "" };
    let (title, text) = (escape(plot.title), escape(&plot.text));
    let svg = &plot.svg;
    format!("<figure{class}>\n<h2>{title}</h2>\n<figcaption>{text}</figcaption>\n{svg}</figure>\n")
}

fn targets(report: &Report) -> String {
    let rows: String = report.targets.iter().map(target_row).collect();
    let met = |wanted| report.targets.iter().filter(|target| target.met() == wanted).count();
    let (good, bad, unknown) = (met(Some(true)), met(Some(false)), met(None));
    let table = table_of(&table::TARGETS, &rows);
    let counts = format!("{good} met, {bad} missed, {unknown} not measured");
    let text = format!("<p>{counts}. A target holds for the median.</p>");
    format!("<section>\n<h2>Targets</h2>\n{text}\n{table}</section>\n")
}

fn target_row(target: &Target) -> String {
    let class = match target.met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "unknown",
    };
    let cells = table::target(target);
    let (verdict, cells) = cells.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
    let cells: String = cells.iter().enumerate().map(|(at, cell)| cell_of(cell, at >= 2)).collect();
    format!("<tr>{cells}<td><span class=\"badge {class}\">{verdict}</span></td></tr>\n")
}

fn cell_of(text: &str, is_number: bool) -> String {
    let class = if is_number { " class=\"number\"" } else { "" };
    format!("<td{class}>{}</td>", escape(text))
}

/// The tables of all groups.
fn groups(report: &Report) -> String {
    let group = |outcome: &Outcome| {
        let row = |row| row_of(&table::cells(outcome, row));
        let rows: String = outcome.rows.iter().map(row).collect();
        let (title, table) = (escape(&outcome.title), table_of(&table::GROUP, &rows));
        format!("<h3>{title}</h3>\n{table}")
    };
    let groups: String = report.outcomes.iter().map(group).collect();
    format!("<section>\n{ALL_NUMBERS}{groups}</section>\n")
}

/// A table with a heading; a column whose heading begins with `>` is aligned to the right.
fn table_of(heading: &[&str], rows: &str) -> String {
    let head = |head: &&str| match head.strip_prefix('>') {
        Some(head) => format!("<th class=\"number\">{}</th>", escape(head)),
        None => format!("<th>{}</th>", escape(head)),
    };
    let heads: String = heading.iter().map(head).collect();
    let (head, body) =
        (format!("<thead><tr>{heads}</tr></thead>"), format!("<tbody>\n{rows}</tbody>"));
    format!("<div class=\"scroll\"><table>\n{head}\n{body}\n</table></div>\n")
}

/// A row of a group. For a skipped contender it contains the reason, over the whole width.
fn row_of(cells: &[String]) -> String {
    match cells {
        [name, why] => {
            let span = table::GROUP.len() - 1;
            let (name, why) = (escape(name), escape(why));
            format!("<tr><td>{name}</td><td class=\"muted\" colspan=\"{span}\">{why}</td></tr>\n")
        }
        cells => {
            let cells: String =
                cells.iter().enumerate().map(|(at, cell)| cell_of(cell, at > 0)).collect();
            format!("<tr>{cells}</tr>\n")
        }
    }
}

fn facts(report: &Report) -> String {
    let row = |fact| {
        let cells = table::fact(fact);
        let cells: String =
            cells.iter().enumerate().map(|(at, cell)| cell_of(cell, at >= 2)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = report.facts.iter().map(row).collect();
    let table = table_of(&table::FACTS, &rows);
    format!("<section>\n<h2>Memory, scale and instructions</h2>\n{table}</section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::{Metric, Sample};
    use crate::fact::Fact;
    use crate::machine::Machine;
    use crate::plan::Plan;
    use crate::rounds::{Outcome, Row};

    fn report() -> Report {
        let row = |name: &str, seconds: f64| Row {
            name: name.to_owned(),
            baseline: None,
            samples: vec![Sample::of(10, 1000, seconds)],
            skipped: None,
        };
        let skipped = Some("<not installed>".to_owned());
        let missing = Row { skipped, samples: Vec::new(), ..row("tonic", 1.0) };
        let (title, metric) = ("A & B".to_owned(), Metric::Latency);
        let rows = vec![row("Box<dyn Trait>", 1.0), missing];
        let key = crate::shapes::ROUND_TRIPS;
        let outcomes = vec![Outcome { key, title, metric, x: 1, rows }];
        let facts = vec![Fact::skipped(crate::memory::MEMORY, "local", "no <server>")];
        let targets = crate::targets::all(&outcomes, &facts);
        let took = std::time::Duration::from_secs(1);
        Report { plan: Plan::quick(), machine: Machine::look(), outcomes, facts, targets, took }
    }

    #[test]
    fn names_are_escaped() {
        let page = text(&report());
        for raw in ["<dyn", "<not", "<server", "A & B"] {
            assert!(!page.contains(raw), "{raw} was not escaped");
        }
        for shown in ["Box&lt;dyn Trait&gt;", "&lt;not installed&gt;", "A &amp; B"] {
            assert!(page.contains(shown), "{shown} is missing");
        }
    }

    #[test]
    fn the_page_has_no_external_resources() {
        let page = text(&report());
        for foreign in ["<script", "<link", "http:", "https:", "@import", "url(", "src="] {
            assert!(!page.contains(foreign), "{foreign} would be fetched, or would run");
        }
        let json = super::super::json::text(&report()).expect("numbers can be written");
        assert!(json.contains("\"skipped\": \"<not installed>\""), "{json}");
    }
}
