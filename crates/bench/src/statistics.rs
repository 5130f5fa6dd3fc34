//! Medians, and how far they can be trusted.

/// The value below which that share of the sorted sample lies (nearest rank); NaN of none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// A sample in order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The middle one, or the mean of the two.
pub fn median(values: &[f64]) -> f64 {
    let values = sorted(values);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The median distance from the median: what a stray value does not move.
pub fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

/// The median of the ratios of two samples taken in turn: what slows the machine down for a while
/// slows both, and cancels out.
pub fn ratio(values: &[f64], base: &[f64]) -> f64 {
    median(&values.iter().zip(base).map(|(value, base)| value / base).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sample: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(
            [0.0, 0.5, 0.99, 0.999, 1.0].map(|q| quantile(&sample, q)),
            [1.0, 500.0, 990.0, 999.0, 1000.0]
        );
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_stray_value_moves_neither_median_nor_spread() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 1000.0, 2.5]), 2.5);
        assert_eq!(spread(&[3.0, 1.0, 2.0, 1000.0, 2.5]), 0.5);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
    }

    #[test]
    fn what_slows_both_cancels_out() {
        assert_eq!(ratio(&[2.0, 20.0, 4.0], &[1.0, 10.0, 2.0]), 2.0);
    }
}
