//! Scale of explicit ratings: mean, standard deviation, minimum and maximum; and which ratings are
//! likes.

use crate::interactions::Interactions;

/// Scale of observed ratings. All four numbers are finite, and `low <= mean <= high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatingScale {
    /// μ, rounded to f32.
    pub mean: f32,
    /// σ: standard deviation of the ratings; 1 if all ratings are equal, so that it is a valid
    /// divisor.
    pub deviation: f32,
    /// Minimum rating.
    pub low: f32,
    /// Maximum rating.
    pub high: f32,
}

impl RatingScale {
    /// Computes the scale of ratings; `None` without any. Sums run in row order on one thread.
    #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values lies between them")]
    pub fn from_ratings(ratings: &Interactions) -> Option<Self> {
        let values = ratings.values();
        let first = *values.first()?;
        let mean = (values.iter().map(|r| f64::from(*r)).sum::<f64>() / values.len() as f64) as f32;
        let square: f64 = values.iter().map(|r| f64::from(*r) - f64::from(mean)).map(|d| d * d).sum();
        let deviation = (square / values.len() as f64).sqrt() as f32;
        Some(Self {
            mean,
            deviation: if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 },
            low: values.iter().copied().fold(first, f32::min),
            high: values.iter().copied().fold(first, f32::max),
        })
    }

    /// The closest value on the scale.
    pub fn clip(&self, rating: f32) -> f32 {
        rating.max(self.low).min(self.high)
    }

    /// Whether a rating is a like, that is, not below the mean.
    pub fn is_like(&self, rating: f32) -> bool {
        rating >= self.mean
    }

    /// The same pairs with weight 1 for a like and −1 otherwise, as
    /// [`popularity`](fn@crate::popularity) and [`crate::evaluate_ranking`] expect.
    #[must_use]
    pub fn likes(&self, ratings: &Interactions) -> Interactions {
        ratings.map_values(|rating| if self.is_like(rating) { 1.0 } else { -1.0 })
    }
}

/// The mean of several ratings of one pair. Sorting makes it independent of the order of the input.
pub fn mean_rating(ratings: &mut [f32]) -> Option<f32> {
    ratings.sort_unstable_by(f32::total_cmp);
    let sum: f64 = ratings.iter().map(|r| f64::from(*r)).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values lies between them")]
    (!ratings.is_empty()).then(|| (sum / ratings.len() as f64) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    fn ratings(values: &[f32]) -> Interactions {
        let entries = (0..).zip(values).map(|(item, value)| Entry { user: 0, item, value: *value }).collect();
        Interactions::from_entries(1, values.len(), entries).unwrap()
    }

    #[test]
    fn the_scale_matches_hand_computed_values() {
        let scale = RatingScale::from_ratings(&ratings(&[1.0, 5.0, 4.0, 2.0])).unwrap();
        assert_eq!(scale, RatingScale { mean: 3.0, deviation: 2.5_f32.sqrt(), low: 1.0, high: 5.0 });
        assert_eq!((scale.clip(0.2), scale.clip(3.3), scale.clip(9.0)), (1.0, 3.3, 5.0));
        assert_eq!(scale.likes(&ratings(&[1.0, 3.0, 5.0])).values(), [-1.0, 1.0, 1.0]);
        assert_eq!(RatingScale::from_ratings(&ratings(&[])), None);
    }

    #[test]
    fn equal_ratings_are_all_likes_and_extreme_ratings_stay_finite() {
        let equal = ratings(&[4.1; 1001]);
        let scale = RatingScale::from_ratings(&equal).unwrap();
        assert_eq!(scale, RatingScale { mean: 4.1, deviation: 1.0, low: 4.1, high: 4.1 });
        assert!(scale.likes(&equal).values().iter().all(|like| *like > 0.0));
        let scale = RatingScale::from_ratings(&ratings(&[f32::MAX, f32::MIN, f32::MAX])).unwrap();
        assert!(scale.mean.is_finite() && scale.deviation.is_finite() && scale.deviation > 0.0, "{scale:?}");
    }
}
