//! Formats numbers with their units.

/// A length of time that is given in seconds.
pub(crate) fn time(seconds: f64) -> String {
    scaled(seconds, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "\u{b5}s"), (1e-9, "ns")])
}

/// Bytes for each second, in decimal units as network speeds have them.
pub(crate) fn rate(bytes: f64) -> String {
    scaled(bytes, &[(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")])
}

/// A size, in binary units as message sizes have them.
pub(crate) fn bytes(bytes: f64) -> String {
    let (mebi, kibi) = (f64::from(1 << 20), 1024.0);
    scaled(bytes, &[(mebi, "MiB"), (kibi, "KiB"), (1.0, "B")])
}

/// A count, with its thousands apart.
pub(crate) fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits.
pub(crate) fn plain(value: f64) -> String {
    let places = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// In the largest unit that does not exceed the value, or the smallest one.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let fits = units.iter().find(|(size, _)| value >= *size);
    match fits.or(units.last()) {
        Some((size, unit)) => format!("{} {unit}", plain(value / size)),
        None => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_has_a_fitting_unit() {
        assert_eq!(time(1.5e-9), "1.5 ns");
        assert_eq!(time(12.34e-6), "12.3 \u{b5}s");
        assert_eq!(time(2.0), "2 s");
        assert_eq!(time(1e-12), "0.001 ns");
        assert_eq!(rate(3.456e9), "3.46 GB/s");
        assert_eq!(bytes(65536.0), "64 KiB");
        assert_eq!(bytes(200.0), "200 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(
            (count(7), count(1000), count(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!(plain(100.4), "100");
    }
}
