//! Which users a walk visits: all of them, or of too many those of the largest weights, and among
//! equal weights those of the smallest index.

use super::visit::Visit;

/// Bits of a weight in single precision that order the users of a long walk: the exponent and seven
/// bits of the fraction, so users whose weights differ by less than 1 % count as equal. The sign of
/// a weight is not among them.
const ORDER_BITS: u32 = 15;
/// Number of orders of weights.
pub(super) const ORDERS: usize = 1 << ORDER_BITS;

/// Collects visits whose rows have at most `left` items together. Users are pushed in ascending
/// order.
pub(super) struct Heaviest<'a> {
    left: usize,
    visits: Vec<Visit>,
    /// Number of items of the users of each order, once there are too many; zeros before.
    lengths: &'a mut [usize],
    /// The users of this order and above have `above` items together, at most `left`.
    lowest: usize,
    above: usize,
    /// Whether all visits together have more items than `left`.
    are_too_many: bool,
}

impl<'a> Heaviest<'a> {
    /// `visits` is memory to use, and `lengths` has [`ORDERS`] zeros, which it has again at the end.
    pub(super) fn new(left: usize, mut visits: Vec<Visit>, lengths: &'a mut [usize]) -> Self {
        visits.clear();
        Self { left, visits, lengths, lowest: 0, above: 0, are_too_many: false }
    }

    /// A number such that no user of a lower weight will be kept.
    #[inline(always)]
    pub(super) fn weight_min(&self) -> f64 {
        lowest_weight(self.lowest.saturating_sub(1))
    }

    /// Adds the visit of a user.
    #[inline(always)]
    pub(super) fn push(&mut self, visit: Visit) {
        self.visits.push(visit);
        if self.are_too_many {
            self.count(visit);
            return;
        }
        self.above += visit.length as usize;
        if self.above > self.left {
            self.start_to_count();
        }
    }

    #[cold]
    fn start_to_count(&mut self) {
        self.are_too_many = true;
        self.above = 0;
        let visits = std::mem::take(&mut self.visits);
        for visit in &visits {
            self.count(*visit);
        }
        self.visits = visits;
    }

    fn count(&mut self, visit: Visit) {
        let (at, length) = (order(visit.weight), visit.length as usize);
        self.lengths[at] += length;
        if at >= self.lowest {
            self.above += length;
            while self.above > self.left {
                self.above -= self.lengths[self.lowest];
                self.lowest += 1;
            }
        }
    }

    /// The visits that are kept, ascending by user.
    pub(super) fn kept(self) -> Vec<Visit> {
        let Self { left, mut visits, lengths, lowest, above, are_too_many } = self;
        if !are_too_many {
            return visits;
        }
        // All users of the order `lowest` and above are kept, and those of the next lower order whose
        // rows still fit.
        let mut rest = left - above;
        visits.retain(|visit| {
            let (at, length) = (order(visit.weight), visit.length as usize);
            lengths[at] = 0;
            let fits = at + 1 == lowest && length <= rest;
            rest -= if fits { length } else { 0 };
            fits || at >= lowest
        });
        visits
    }
}

/// Place of a weight, which is at least 0, in ascending order.
fn order(weight: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the order needs few bits")]
    let bits = (weight as f32).to_bits();
    (bits >> (u32::BITS - 1 - ORDER_BITS)) as usize
}

/// The lowest weight of an order, less what the rounding to single precision can add to a lower one.
#[expect(clippy::cast_possible_truncation, reason = "there are few orders")]
fn lowest_weight(order: usize) -> f64 {
    f64::from(f32::from_bits((order as u32) << (u32::BITS - 1 - ORDER_BITS)).next_down().max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_heaviest_visits_are_kept(
            of_users in proptest::collection::vec((0_u32..40, prop_oneof![1e-30..1e30, 1.0..1.2, Just(1.0)]), 0..200),
            left in 0_usize..3000,
        ) {
            let visit = |(user, (length, weight)): (u32, &(u32, f64))| Visit { user, length: *length, weight: *weight };
            let visits: Vec<Visit> = (0..).zip(&of_users).map(visit).collect();
            let mut lengths = vec![0; ORDERS];
            let mut heaviest = Heaviest::new(left, vec![Visit { user: 9, length: 9, weight: 9.0 }], &mut lengths);
            for visit in &visits {
                if visit.weight >= heaviest.weight_min() {
                    heaviest.push(*visit);
                }
            }
            let kept = heaviest.kept();
            prop_assert!(lengths.iter().all(|length| *length == 0));
            prop_assert_eq!(kept, chosen_by_order(&visits, left));
        }
    }

    /// The same choice, from the highest order down to the first one that does not fit.
    fn chosen_by_order(visits: &[Visit], left: usize) -> Vec<Visit> {
        let mut orders: Vec<usize> = visits.iter().map(|visit| order(visit.weight)).collect();
        orders.sort_unstable_by(|x, y| y.cmp(x));
        orders.dedup();
        let (mut chosen, mut rest) = (Vec::new(), left);
        for at in orders {
            let of_order: Vec<Visit> = visits.iter().filter(|visit| order(visit.weight) == at).copied().collect();
            let mut do_all_fit = true;
            for visit in of_order {
                let length = visit.length as usize;
                do_all_fit &= length <= rest;
                if length <= rest {
                    rest -= length;
                    chosen.push(visit);
                }
            }
            if !do_all_fit {
                break;
            }
        }
        chosen.sort_by_key(|visit| visit.user);
        chosen
    }
}
