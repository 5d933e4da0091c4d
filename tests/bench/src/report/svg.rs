//! Pictures as SVG text: marks, scales, and labels that do not overlap. Colours are classes of the
//! page's style sheet, which has a light and a dark mode.

use std::fmt::Write;

/// Escapes text for SVG and HTML, also within quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Which part of a label is at its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture under construction. Lengths are in its own units, each about a pixel.
pub(crate) struct Picture {
    width: f64,
    height: f64,
    title: String,
    marks: String,
}

impl Picture {
    /// An empty picture. The title is for screen readers.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Picture {
        Picture { width, height, title: escape(title), marks: String::new() }
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.marks,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    pub(crate) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(self.marks, r#"<polyline class="{class}" points="{points}"/>"#);
    }

    pub(crate) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let _ = writeln!(
            self.marks,
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#
        );
    }

    pub(crate) fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let place = format!(r#"x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#);
        let _ = writeln!(self.marks, r#"<rect class="{class}" {place} rx="3"/>"#);
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ = writeln!(
            self.marks,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// The picture as an SVG element.
    pub(crate) fn finish(self) -> String {
        let Picture { width, height, title, marks } = self;
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n{marks}</svg>\n"
        )
    }
}

/// A logarithmic scale from values to places in a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    values: (f64, f64),
    places: (f64, f64),
}

impl Scale {
    /// A scale that has room for all of these values, which are greater than zero.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>, places: (f64, f64)) -> Scale {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        let values = if least <= most { (least, most) } else { (1.0, 10.0) };
        Scale { values, places }
    }

    /// Extends the scale at both ends by this factor.
    #[must_use]
    pub(crate) fn with_room(self, below: f64, above: f64) -> Scale {
        let (least, most) = self.values;
        Scale { values: (least / below, most * above), ..self }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let ((least, most), (from, to)) = (self.values, self.places);
        let whole = (most / least).ln();
        let part = if whole > 0.0 { (value / least).ln() / whole } else { 0.5 };
        from + (to - from) * part
    }

    /// Round values within the scale: powers of ten, with 2 and 5 times these where there are few.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let (least, most) = self.values;
        let steps: &[f64] = match (most / least).log10() {
            ..1.6 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
        let all =
            decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        // Rounding must not exclude an end of the scale.
        all.filter(|tick| (least * 0.999..=most * 1.001).contains(tick)).collect()
    }
}

/// Moves labels apart that are closer than `least`, as little as possible, and keeps their order.
/// The returned places are in the order of the arguments.
pub(crate) fn apart(places: &[f64], least: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
    let mut moved = places.to_vec();
    // First downwards where the label above is too near, then upwards from the bottom.
    let mut free = top;
    for &label in &order {
        moved[label] = moved[label].max(free);
        free = moved[label] + least;
    }
    let mut free = bottom;
    for &label in order.iter().rev() {
        moved[label] = moved[label].min(free);
        free = moved[label] - least;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let text = r#"a <b> & "c" 'd' é"#;
        assert_eq!(escape(text), "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; é");
        let mut picture = Picture::new(10.0, 10.0, "<&>\"");
        picture.text("label", (1.0, 2.0), Anchor::Middle, "</text><script>");
        let svg = picture.finish();
        assert!(svg.contains("aria-label=\"&lt;&amp;&gt;&quot;\""), "{svg}");
        assert!(svg.contains(">&lt;/text&gt;&lt;script&gt;</text>"), "{svg}");
        assert_eq!(svg.matches("<script>").count(), 0, "{svg}");
    }

    #[test]
    fn equal_ratios_are_equal_lengths() {
        let scale = Scale::of([1.0, 100.0, f64::NAN, 0.0], (0.0, 200.0));
        assert_eq!((scale.at(1.0), scale.at(100.0)), (0.0, 200.0));
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        let of_one = Scale::of([5.0], (0.0, 100.0));
        assert_eq!(of_one.at(5.0), 50.0, "a single value lies in the middle");
        assert!(Scale::of([], (0.0, 1.0)).at(3.0).is_finite(), "no values are no reason to fail");
    }

    #[test]
    fn ticks_are_round_and_within() {
        let ticks = |least, most| Scale::of([least, most], (0.0, 1.0)).ticks();
        assert_eq!(ticks(1.0, 20.0), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(ticks(0.5, 5000.0), [1.0, 10.0, 100.0, 1000.0]);
    }

    #[test]
    fn labels_keep_their_order_and_their_distance() {
        let moved = apart(&[50.0, 48.0, 10.0, 51.0], 10.0, (0.0, 100.0));
        assert_eq!(moved, [58.0, 48.0, 10.0, 68.0]);
        let moved = apart(&[95.0, 96.0, 97.0], 10.0, (0.0, 100.0));
        assert_eq!(moved, [80.0, 90.0, 100.0], "they are pushed back from the edge");
    }
}
