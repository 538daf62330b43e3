//! Which pod gets a request: the better of two random ones. Comparing only two avoids that all
//! clients send to the same best pod at once.

use crate::{ejection::Availability, limits::IN_FLIGHT_PER_ENDPOINT_MAX};

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Estimated latency in seconds.
    pub latency: f64,
    /// Number of requests in flight.
    pub in_flight: u32,
    /// Whether the pod may get a request.
    pub availability: Availability,
    /// Whether an earlier try of the same request went to it.
    pub was_tried: bool,
}

impl Candidate {
    /// Expected wait, up to a factor.
    fn load(&self) -> f64 {
        self.latency * (f64::from(self.in_flight) + 1.0)
    }

    fn is_usable(&self) -> bool {
        self.availability == Availability::Available && self.in_flight < IN_FLIGHT_PER_ENDPOINT_MAX
    }
}

/// Index of the chosen candidate. A first try goes to a pod that is due for a probe; other tries go
/// to a pod that was not tried, and only if there is none to any.
pub fn choose(candidates: &[Candidate], is_first_try: bool, random: u64) -> Option<usize> {
    let indices = |admits: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        candidates.iter().enumerate().filter(|(_, c)| admits(c)).map(|(index, _)| index).collect()
    };
    let probe_due = indices(&|c| c.availability == Availability::ProbeDue && !c.was_tried);
    if is_first_try && let Some(probe) = nth(&probe_due, random) {
        return Some(probe);
    }
    let untried = indices(&|c| c.is_usable() && !c.was_tried);
    better_of_two(candidates, &untried, random)
        .or_else(|| nth(&probe_due, random))
        .or_else(|| better_of_two(candidates, &indices(&Candidate::is_usable), random))
}

/// The better of two different random ones.
fn better_of_two(candidates: &[Candidate], usable: &[usize], random: u64) -> Option<usize> {
    let first = nth(usable, random)?;
    let others: Vec<usize> = usable.iter().copied().filter(|index| *index != first).collect();
    // The upper half of the random bits is independent of the lower one.
    let Some(second) = nth(&others, random >> 32) else { return Some(first) };
    let load = |index: usize| candidates.get(index).map_or(f64::INFINITY, Candidate::load);
    Some(if load(second) < load(first) { second } else { first })
}

fn nth(indices: &[usize], random: u64) -> Option<usize> {
    let position = (random & u64::from(u32::MAX)) % u64::try_from(indices.len()).ok().filter(|count| *count > 0)?;
    indices.get(usize::try_from(position).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        hash::{BuildHasher as _, RandomState},
    };

    use super::*;

    const GOOD: Candidate =
        Candidate { latency: 0.001, in_flight: 0, availability: Availability::Available, was_tried: false };

    /// How often each candidate is chosen, of 9,000 times.
    fn counts(candidates: &[Candidate], is_first_try: bool) -> BTreeMap<usize, u32> {
        let (state, mut counts) = (RandomState::new(), BTreeMap::new());
        for number in 0..9_000_u32 {
            let chosen = choose(candidates, is_first_try, state.hash_one(number)).unwrap();
            *counts.entry(chosen).or_default() += 1;
        }
        counts
    }

    #[test]
    fn of_three_the_worst_gets_nothing_and_the_best_two_thirds() {
        // Loads 1, 2 and 3: each pair is drawn with probability 1/3.
        let candidates = [GOOD, Candidate { in_flight: 1, ..GOOD }, Candidate { latency: 0.003, ..GOOD }];
        let counts = counts(&candidates, true);
        assert_eq!(counts.get(&2), None);
        // Standard deviation 45; the bounds are eight of them.
        assert!(counts[&0].abs_diff(6_000) < 360 && counts[&1].abs_diff(3_000) < 360, "{counts:?}");
    }

    #[test]
    fn equal_pods_get_equal_shares() {
        let counts = counts(&[GOOD; 3], true);
        assert!((0..3).all(|index| counts[&index].abs_diff(3_000) < 360), "{counts:?}");
    }

    #[test]
    fn probes_come_first_but_not_for_a_retry() {
        let probe = Candidate { availability: Availability::ProbeDue, ..GOOD };
        assert_eq!(counts(&[GOOD, probe, GOOD], true).into_keys().collect::<Vec<_>>(), [1]);
        assert_eq!(counts(&[GOOD, probe, GOOD], false).into_keys().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(choose(&[probe], false, 7), Some(0), "nothing else is available");
    }

    #[test]
    fn a_tried_a_full_and_an_ejected_pod_are_avoided() {
        let tried = Candidate { was_tried: true, ..GOOD };
        let full = Candidate { in_flight: IN_FLIGHT_PER_ENDPOINT_MAX, ..GOOD };
        let ejected = Candidate { availability: Availability::Ejected, ..GOOD };
        assert_eq!(counts(&[tried, full, ejected, GOOD], false).into_keys().collect::<Vec<_>>(), [3]);
        assert_eq!(choose(&[tried, full, ejected], false, 5), Some(0), "a tried pod if there is no other");
        assert_eq!(choose(&[full, ejected], true, 5), None);
        assert_eq!(choose(&[], true, 5), None);
    }
}
