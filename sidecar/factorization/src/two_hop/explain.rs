//! The part of each item of a history in the terms of some items.

use ndarray::ArrayView2;

use super::{History, TwoHop, walk::like};

impl TwoHop<'_> {
    /// The term of each of `targets`, less what these item factors represent of it, as a sum over
    /// the entries of the history, in order.
    pub(crate) fn contributions(
        &self,
        history: &History,
        factors: ArrayView2<'_, f32>,
        targets: &[u32],
    ) -> Vec<Vec<f64>> {
        let mut contributions = self.bounded_contributions(history, targets, self.additions_max);
        for (parts, &target) in contributions.iter_mut().zip(targets) {
            if self.scales.without_users().binary_search(&target).is_err() {
                let represented = self.represented_parts(history, factors, target);
                parts.iter_mut().zip(represented).for_each(|(part, represented)| *part -= represented);
            }
        }
        contributions
    }

    pub(super) fn bounded_contributions(
        &self,
        history: &History,
        targets: &[u32],
        additions_max: usize,
    ) -> Vec<Vec<f64>> {
        if let Some(pairs) = self.pairs {
            let explain = |target: &u32| {
                let mut parts = vec![0.0; history.items.len()];
                self.pair_parts(pairs, history, *target, &mut parts);
                parts
            };
            return targets.iter().map(explain).collect();
        }
        let sources = self.sources(history, additions_max);
        let visits = self.visits(&sources, additions_max);
        // D⁻²ᵃ of the users that are visited and have the target, times the target's weight.
        let mut shares = vec![0.0; self.items_of_users.len()];
        let explain = |&target: &u32| {
            let list = self.users_of_items.row(target as usize);
            let scale = self.scales.targets()[target as usize];
            for (at, &user) in list.columns.iter().enumerate() {
                let is_visited = visits.binary_search_by_key(&user, |visit| visit.user).is_ok();
                if is_visited && Some(user) != history.user {
                    shares[user as usize] = scale * self.scales.user(user) * like(list.value(at));
                }
            }
            let mut parts = vec![0.0; history.items.len()];
            for source in &sources {
                let users = self.users_of_items.row(source.item as usize);
                let share = |(at, user): (usize, &u32)| shares[*user as usize] * like(users.value(at));
                parts[source.at] = source.weight * users.columns.iter().enumerate().map(share).sum::<f64>();
            }
            for user in list.columns {
                shares[*user as usize] = 0.0;
            }
            parts
        };
        targets.iter().map(explain).collect()
    }
}
