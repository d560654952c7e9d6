//! Whether a segment is sampled: decided once, at its start. (behaviour 23)

/// What was decided for a segment, and at which rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) sampled: bool,
    pub(crate) rate: f64,
}

/// Decides by a fixed rate: strictly `sample_rand < rate`, so that 0 samples nothing and 1 everything.
pub(crate) fn decide(sample_rand: f64, rate: f64) -> Decision {
    Decision { sampled: sample_rand < rate, rate }
}

#[cfg(test)]
mod tests {
    use super::decide;

    // behaviour 23
    #[test]
    fn strictly_below_the_rate() {
        assert!(!decide(0.0, 0.0).sampled);
        assert!(!decide(0.5, 0.5).sampled);
        assert!(decide(0.499_999, 0.5).sampled);
        assert!(decide(0.999_999, 1.0).sampled);
    }
}
