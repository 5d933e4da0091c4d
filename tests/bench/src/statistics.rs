//! Medians and spreads of the rounds.

use serde::Serialize;

/// The median of several values, and their spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of the finite values; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Spread { median: percentile(&values, 50), min, max })
    }

    /// The ratios of values of the same round.
    pub(crate) fn of_ratios(above: &[f64], below: &[f64]) -> Option<Spread> {
        Spread::of(above.iter().zip(below).map(|(above, below)| above / below))
    }
}

/// A percentile of at least one sorted value. Between two values it is their mean.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let hundredths = (sorted.len() - 1) * percent;
    let (below, rest) = (hundredths / 100, hundredths % 100);
    let above = (below + usize::from(rest > 0)).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * rest as f64 / 100.0
}

/// The median and the 99th percentile.
pub(crate) fn percentiles(mut values: Vec<f64>) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some((percentile(&values, 50), percentile(&values, 99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_two() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(of(&[7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(of(&[]), None, "nothing has no middle");
        assert_eq!(of(&[f64::NAN, f64::INFINITY]), None, "what was divided by nothing is no value");
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine was half as fast in the second round, for both contenders.
        let ratio = Spread::of_ratios(&[3.0, 6.0, 3.3], &[2.0, 4.0, 2.2]);
        let ratio = ratio.map(|ratio| (ratio.median * 100.0).round());
        assert_eq!(ratio, Some(150.0));
    }

    #[test]
    fn percentiles_reach_from_the_smallest_to_the_largest() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        for percent in [0, 1, 50, 99, 100] {
            assert_eq!(percentile(&values, percent), percent as f64);
        }
        assert_eq!(percentiles(vec![2.0, 1.0]), Some((1.5, 1.99)));
        assert_eq!(percentiles(Vec::new()), None);
    }
}
