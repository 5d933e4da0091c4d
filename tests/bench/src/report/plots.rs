//! The plots of the page: their content and their layout.

use super::quantity::{bytes, count, plain, rate, time};
use super::svg::{Anchor, Picture, Scale, apart};
use crate::fact::Fact;
use crate::memory::MEMORY;
use crate::report::Report;
use crate::rounds::Outcome;
use crate::shapes::{CHANNELS, ROUND_TRIPS, SIZES};

/// A plot with its heading.
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) text: String,
    pub(crate) svg: String,
    /// Whether it takes the whole width of the page.
    pub(crate) wide: bool,
}

/// All plots that have data.
pub(crate) fn all(report: &Report) -> Vec<Plot> {
    let sizes = |title, shown| by_x(report, SIZES, title, "message size", shown);
    vec![
        latency(report),
        Plot {
            title: "Throughput by message size, over unix sockets",
            text:
                "One channel, one direction, between two processes on two cores. A bare loop makes \
                   a system call for each message; a server gathers them."
                    .into(),
            svg: sizes("throughput by message size over unix sockets", is_unix),
            wide: false,
        },
        Plot {
            title: "Throughput by message size, over TCP",
            text: "The same over loopback. Routes with shs encrypt and decrypt every byte.".into(),
            svg: sizes("throughput by message size over tcp", |name| {
                !is_unix(name) && !is_within(name)
            }),
            wide: false,
        },
        Plot {
            title: "Throughput by number of channels",
            text: "All channels share one link and write 64 KiB at a time; the total is shown."
                .into(),
            svg: by_x(report, CHANNELS, "throughput by number of channels", "channels", |_| true),
            wide: false,
        },
        memory(report),
    ]
}

/// Routes within a process. They are in the tables only, because they would compress the scale for
/// the others.
fn is_within(name: &str) -> bool {
    ["local", "thread"].contains(&name)
}

fn is_unix(name: &str) -> bool {
    !is_within(name) && !name.contains("tcp")
}

/// The class that gives a contender its colour.
fn class_of(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("bare") => "bare",
        _ if name.starts_with("yamux") || name.starts_with("tonic") => "peer",
        _ if name.starts_with("call") => "call",
        _ if name.contains("shs") || name.contains("encrypted") => "encrypted",
        _ if name == "relay" => "relay",
        _ if name.starts_with("link") => "link",
        _ => "direct",
    }
}

/// Each contender's median and 99th percentile, on one core and on two.
pub(crate) fn latency(report: &Report) -> Plot {
    const LEFT: f64 = 190.0;
    const RIGHT: f64 = 880.0;
    const TOP: f64 = 44.0;
    const ROW: f64 = 30.0;
    let groups: Vec<&Outcome> = report.of_key(ROUND_TRIPS).collect();
    let names: Vec<&str> = groups
        .first()
        .map(|group| group.rows.iter().map(|row| row.name.as_str()).collect())
        .unwrap_or_default();
    let found = |name: &str, group: &Outcome| -> Option<(f64, f64)> {
        let summary = group.summary(group.row(name)?)?;
        Some((summary.value.median, summary.p99.map_or(summary.value.median, |p99| p99.median)))
    };
    let all = names.iter().flat_map(|name| groups.iter().filter_map(|group| found(name, group)));
    let values = all.flat_map(|(median, p99)| [median, p99]);
    let scale = Scale::of(values, (LEFT, RIGHT)).with_room(2.0, 1.3);
    let bottom = TOP + ROW * names.len() as f64;
    let mut picture = Picture::new(1080.0, bottom + 52.0, "round trips of 64 bytes by route");
    across(&mut picture, &scale, (TOP - 6.0, bottom), time);
    let middle = (LEFT + RIGHT) / 2.0;
    let label = "round trip of 64 bytes, median (dot) to 99th percentile (line end); logarithmic";
    picture.text("axis", (middle, bottom + 42.0), Anchor::Middle, label);
    picture.text("head", (968.0, TOP - 16.0), Anchor::End, "one core");
    picture.text("head", (1070.0, TOP - 16.0), Anchor::End, "two cores");
    for (number, name) in names.iter().enumerate() {
        let y = TOP + ROW * (number as f64 + 0.5);
        picture.text("label", (LEFT - 12.0, y + 4.5), Anchor::End, name);
        for (group, x) in groups.iter().zip([968.0, 1070.0]) {
            let Some((median, p99)) = found(name, group) else {
                picture.text("axis", (x, y + 4.5), Anchor::End, "skipped");
                continue;
            };
            let (class, one) = (class_of(name), group.x == 1);
            let y_mark = if one { y - 5.0 } else { y + 5.0 };
            picture.line(
                &format!("whisker {class}"),
                (scale.at(median), y_mark),
                (scale.at(p99), y_mark),
            );
            let dot = if one { format!("dot {class}") } else { format!("ring {class}") };
            picture.dot(&dot, (scale.at(median), y_mark), 4.5);
            picture.text("value", (x, y + 4.5), Anchor::End, &time(median));
        }
    }
    let text =
        "64 bytes there and back. Filled dots: both sides on one core, so that what is left \
                is the work. Rings: each side on a core of its own, where most of the time is the \
                kernel waking the other core."
            .into();
    Plot { title: "Latency by route", text, svg: picture.finish(), wide: true }
}

/// Vertical lines at the ticks of a scale that runs across.
fn across(
    picture: &mut Picture,
    scale: &Scale,
    (top, bottom): (f64, f64),
    show: fn(f64) -> String,
) {
    for tick in scale.ticks() {
        let x = scale.at(tick);
        picture.line("grid", (x, top), (x, bottom));
        picture.text("axis", (x, bottom + 20.0), Anchor::Middle, &show(tick));
    }
}

/// A line for each contender, over message sizes or numbers of channels.
fn by_x(report: &Report, key: &str, title: &str, x_label: &str, shown: fn(&str) -> bool) -> String {
    const LEFT: f64 = 74.0;
    const RIGHT: f64 = 400.0;
    const TOP: f64 = 34.0;
    const BOTTOM: f64 = 332.0;
    let groups: Vec<&Outcome> = report.of_key(key).collect();
    let names: Vec<&str> = groups
        .first()
        .map(|group| {
            group.rows.iter().map(|row| row.name.as_str()).filter(|name| shown(name)).collect()
        })
        .unwrap_or_default();
    let line = |name: &str| -> Vec<(f64, f64)> {
        let point = |group: &&Outcome| {
            let summary = group.summary(group.row(name)?)?;
            Some((group.x as f64, summary.value.median))
        };
        groups.iter().filter_map(point).collect()
    };
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        names.iter().map(|name| (*name, line(name))).filter(|(_, line)| !line.is_empty()).collect();
    let values =
        |of: fn(&(f64, f64)) -> f64| lines.iter().flat_map(move |(_, line)| line.iter().map(of));
    let x = Scale::of(values(|point| point.0), (LEFT, RIGHT));
    let y = Scale::of(values(|point| point.1), (BOTTOM, TOP)).with_room(1.25, 1.25);
    let mut picture = Picture::new(574.0, 388.0, title);
    for tick in y.ticks() {
        picture.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        picture.text("axis", (LEFT - 8.0, y.at(tick) + 4.0), Anchor::End, &rate(tick));
    }
    for group in &groups {
        let place = x.at(group.x as f64);
        picture.line("grid", (place, TOP), (place, BOTTOM));
        let label = if key == SIZES { bytes(group.x as f64) } else { count(group.x) };
        picture.text("axis", (place, BOTTOM + 20.0), Anchor::Middle, &label);
    }
    picture.text(
        "axis",
        (LEFT - 8.0, 16.0),
        Anchor::Start,
        "throughput, median of the rounds; logarithmic",
    );
    picture.text(
        "axis",
        ((LEFT + RIGHT) / 2.0, BOTTOM + 42.0),
        Anchor::Middle,
        &format!("{x_label}, logarithmic"),
    );
    label_lines(&mut picture, &lines, (&x, &y), (TOP + 4.0, BOTTOM));
    picture.finish()
}

/// Draws the lines, with the name of each after its end.
fn label_lines(
    picture: &mut Picture,
    lines: &[(&str, Vec<(f64, f64)>)],
    (x, y): (&Scale, &Scale),
    edges: (f64, f64),
) {
    let last = |line: &[(f64, f64)]| line.last().map_or((0.0, 0.0), |(a, b)| (x.at(*a), y.at(*b)));
    let ends: Vec<(f64, f64)> = lines.iter().map(|(_, line)| last(line)).collect();
    let places: Vec<f64> = ends.iter().map(|(_, y)| *y).collect();
    let places = apart(&places, 18.0, edges);
    for (((name, line), end), place) in lines.iter().zip(ends).zip(places) {
        let class = class_of(name);
        let dashed =
            if name.starts_with("bare") || name.starts_with("unix") { "dashed" } else { "" };
        let points: Vec<(f64, f64)> = line.iter().map(|(a, b)| (x.at(*a), y.at(*b))).collect();
        picture.path(&format!("series {class} {dashed}"), &points);
        for point in points {
            picture.dot(&format!("dot {class}"), point, 3.0);
        }
        picture.line(&format!("leader {class}"), (end.0 + 6.0, end.1), (end.0 + 20.0, place));
        picture.text(&format!("name {class}"), (end.0 + 24.0, place + 4.5), Anchor::Start, name);
    }
}

/// A bar for each kind of idle channel, at the greatest number of them, and the target.
fn memory(report: &Report) -> Plot {
    const LEFT: f64 = 4.0;
    const RIGHT: f64 = 550.0;
    const TARGET: f64 = 256.0;
    // The last fact of each name has the greatest number.
    let facts = || report.facts.iter().filter(|fact| fact.section == MEMORY);
    let last = |fact: &&Fact| facts().rfind(|it| it.name == fact.name).map(|it| it.count);
    let shown: Vec<(&str, usize, f64)> = facts()
        .filter(|fact| last(fact) == Some(fact.count))
        .filter_map(|fact| Some((fact.name.as_str(), fact.count, fact.value?)))
        .collect();
    let greatest = shown.iter().map(|(.., value)| *value).fold(TARGET, f64::max);
    let width = |value: f64| (RIGHT - LEFT) * value / (greatest * 1.15);
    let mut picture = Picture::new(574.0, 388.0, "memory per idle channel");
    let bottom = 76.0 + 84.0 * shown.len() as f64;
    let target = LEFT + width(TARGET);
    picture.text("axis", (target, 34.0), Anchor::Middle, "target: at most 256 B");
    for (number, (name, open, value)) in shown.iter().enumerate() {
        let top = 76.0 + 84.0 * number as f64;
        let name = format!("{name}; {} open", count(*open));
        picture.text("label", (LEFT, top - 8.0), Anchor::Start, &name);
        picture.bar("fill link", (LEFT, top), (width(*value), 30.0));
        picture.line("target", (target, top - 3.0), (target, top + 33.0));
        let label = format!("{} B", plain(*value));
        picture.text("inside", (LEFT + width(*value) - 10.0, top + 20.0), Anchor::End, &label);
    }
    picture.line("grid", (LEFT, 44.0), (LEFT, bottom - 30.0));
    picture.text("axis", (LEFT, bottom), Anchor::Start, "bytes of memory for each channel, from 0");
    let text =
        "Growth of a server's own memory, divided by the channels that are open and silent.".into();
    Plot { title: "Memory per idle channel", text, svg: picture.finish(), wide: false }
}
