//! Paired comparison of two sets of parameters on the same users.
//!
//! Parameters replace others only if they are better by more than one standard error (Breiman,
//! Friedman, Olshen and Stone 1984, "Classification and regression trees", section 3.4.3): a search
//! over many sets finds some that are better by chance.

/// Mean of paired differences and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedDifference {
    /// Mean over the users.
    pub mean: f64,
    /// Standard error of the mean; 0 if all differences are equal.
    pub standard_error: f64,
}

impl PairedDifference {
    /// Of `candidate − reference`, user by user. `None` if lengths differ, or for fewer than two
    /// users.
    pub fn new(candidate: &[f64], reference: &[f64]) -> Option<Self> {
        let n = candidate.len() as f64;
        if candidate.len() != reference.len() || candidate.len() < 2 {
            return None;
        }
        let differences = || candidate.iter().zip(reference).map(|(candidate, reference)| candidate - reference);
        let mean = differences().sum::<f64>() / n;
        let squares: f64 = differences().map(|difference| (difference - mean) * (difference - mean)).sum();
        Some(Self { mean, standard_error: (squares / (n - 1.0) / n).sqrt() })
    }

    /// Whether the candidate's mean is higher by more than one standard error.
    pub fn is_higher(&self) -> bool {
        self.mean > self.standard_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_is_that_of_the_differences() {
        // Differences 1, 2, 3, 6: mean 3, sum of squares 14, variance 14 / 3, error √(14 / 12).
        let difference = PairedDifference::new(&[11.0, 22.0, 33.0, 46.0], &[10.0, 20.0, 30.0, 40.0]).unwrap();
        assert!((difference.mean - 3.0).abs() < 1e-12);
        assert!((difference.standard_error - (14.0_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!(difference.is_higher());
        assert_eq!(PairedDifference::new(&[1.0], &[0.0]), None);
        assert_eq!(PairedDifference::new(&[1.0, 2.0], &[0.0]), None);
    }

    #[test]
    fn a_difference_within_one_standard_error_is_not_higher() {
        // Mean 0.5, standard error 0.5.
        let within = PairedDifference::new(&[1.0, 0.0], &[0.0, 0.0]).unwrap();
        assert!(!within.is_higher(), "{within:?}");
        let equal = PairedDifference::new(&[1.0, 0.5], &[1.0, 0.5]).unwrap();
        assert!(!equal.is_higher(), "{equal:?}");
        let all_users_alike = PairedDifference::new(&[1.25, 0.25], &[1.0, 0.0]).unwrap();
        assert!(all_users_alike.is_higher(), "{all_users_alike:?}");
    }
}
