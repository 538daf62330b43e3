//! Splits interactions into a training set and a held-out set.

use crate::random::{uniform, word};

/// Whether the pair (user, item) is held out. The decision is a seeded hash of both ids, so a pair
/// stays on its side when other data changes. About a `holdout` fraction of all pairs is held out.
pub fn held_out_by_hash(seed: u64, user: &[u8], item: &[u8], holdout: f64) -> bool {
    uniform(pair_order(seed, user, item)) < holdout
}

/// Rank of the pair among those of its user: a seeded hash of both ids, to sort by.
pub fn pair_order(seed: u64, user: &[u8], item: &[u8]) -> u64 {
    word(seed, fnv1a(user), fnv1a(item))
}

/// The time after which interactions are held out, such that at most a `holdout` fraction is later.
/// Interactions at the exact cut stay in training, so the order of the input does not matter.
/// `None` without timestamps.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
pub fn time_cut(timestamps: &[f64], holdout: f64) -> Option<f64> {
    let mut sorted = timestamps.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let held_out = (sorted.len() as f64 * holdout).floor() as usize;
    sorted.len().checked_sub(held_out + 1).and_then(|last| sorted.get(last)).copied()
}

/// At most `max` of the users, ascending: those with the lowest seeded hashes. `stream` separates
/// draws with the same seed.
pub fn draw_users(users: impl Iterator<Item = u32>, max: usize, seed: u64, stream: u64) -> Vec<u32> {
    let mut drawn: Vec<u32> = users.collect();
    if drawn.len() > max {
        drawn.sort_by_cached_key(|user| word(seed, stream, u64::from(*user)));
        drawn.truncate(max);
    }
    drawn.sort_unstable();
    drawn
}

/// FNV-1a, 64 bit (Fowler, Noll and Vo; draft-eastlake-fnv).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_matches_published_test_vectors() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tenth_is_held_out_and_a_pair_keeps_its_side() {
        let pair = |i: u32| (format!("u{}", i / 100), format!("i{}", i % 100));
        let held = |seed: u64| -> Vec<bool> {
            (0..100_000).map(pair).map(|(u, i)| held_out_by_hash(seed, u.as_bytes(), i.as_bytes(), 0.1)).collect()
        };
        let first = held(42);
        let count = first.iter().filter(|h| **h).count();
        assert!((9_500..10_500).contains(&count), "{count}"); // five standard errors
        assert_eq!(first, held(42));
        assert_ne!(first, held(43));
    }

    #[test]
    fn users_are_drawn_at_random_and_few_are_all_drawn() {
        let drawn = |seed| draw_users((0..10_000).rev(), 1000, seed, 7);
        let first = drawn(42);
        assert_eq!((first.len(), &first), (1000, &drawn(42)));
        assert!(first.is_sorted_by(|a, b| a < b));
        // The mean of a draw is 5,000 with a standard error of 2,887 / √1000 = 91.
        let mean = first.iter().sum::<u32>() / 1000;
        assert!((4544..5456).contains(&mean), "{mean}");
        // A tenth of another draw is in common, with a standard deviation of 9.
        let common = drawn(43).iter().filter(|user| first.contains(user)).count();
        assert!((55..145).contains(&common), "{common}");
        assert_eq!(draw_users([3, 1, 2].into_iter(), 3, 42, 7), [1, 2, 3]);
    }

    #[test]
    fn the_newest_interactions_are_after_the_cut() {
        let times: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(time_cut(&times, 0.1), Some(89.0));
        // No time is later, so nothing is held out.
        assert_eq!(time_cut(&[5.0; 10], 0.3), Some(5.0));
        assert_eq!(time_cut(&[], 0.1), None);
    }
}
