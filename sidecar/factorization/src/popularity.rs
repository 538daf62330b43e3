//! Popularity baselines, which every model must beat: items ranked by how many users chose them, at
//! all times or recently (Ji, Sun, Zhang and Li 2020, "A re-visit of the popularity baseline in
//! recommender systems", SIGIR).

use std::cmp::Reverse;

use crate::interactions::Interactions;

/// Number of users per item, counting only positive entries, and all items by descending popularity
/// (ties by index).
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
pub fn popularity(interactions: &Interactions) -> (Vec<u32>, Vec<u32>) {
    let counts = counts(interactions);
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|&item| (Reverse(counts[item as usize]), item));
    (counts, order)
}

/// All items by descending popularity in `recent`, a part of `all` with the same items; ties by
/// popularity in `all`, then by index.
#[expect(clippy::cast_possible_truncation, reason = "items ≤ INDEX_MAX")]
pub fn recent_popularity(recent: &Interactions, all: &Interactions) -> Vec<u32> {
    let (recent, all) = (counts(recent), counts(all));
    let mut order: Vec<u32> = (0..all.len() as u32).collect();
    order.sort_by_key(|&item| (Reverse(recent[item as usize]), Reverse(all[item as usize]), item));
    order
}

fn counts(interactions: &Interactions) -> Vec<u32> {
    let mut counts = vec![0_u32; interactions.items()];
    for (&item, &value) in interactions.columns().iter().zip(interactions.values()) {
        if value > 0.0 {
            counts[item as usize] += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::Entry;

    #[test]
    fn recent_choices_come_first_and_older_ones_break_ties() {
        let rows = |pairs: &[(u32, u32, f32)]| {
            let entries = pairs.iter().map(|&(user, item, value)| Entry { user, item, value }).collect();
            Interactions::from_entries(4, 5, entries).unwrap()
        };
        let recent = [(0, 3, 1.0), (1, 3, 2.0), (2, 1, 1.0), (3, 4, -1.0)];
        let older = [(0, 0, 1.0), (1, 0, 1.0), (2, 0, 1.0), (3, 2, 1.0)];
        let all = rows(&[&recent[..], &older[..]].concat());
        assert_eq!(recent_popularity(&rows(&recent), &all), [3, 1, 0, 2, 4]);
    }
}
