//! Weight of a row with an event, as it is read.

use std::collections::BTreeMap;

use factorization::weighting::map_magnitude;

use crate::{
    dropped::DropReason,
    table::{Cell, Digits},
};

/// Weights of events; empty if there are no events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events<'a>(pub(crate) &'a BTreeMap<String, f64>);

impl Events<'_> {
    /// The weight of a row with this event and rating; fails for an event that is not listed.
    pub(crate) fn weight(self, event: Cell<'_>, digits: &mut Digits, rating: f32) -> Result<f32, DropReason> {
        let event = event.id(digits, DropReason::EventNotListed)?;
        let weight = self.0.get(event).ok_or(DropReason::EventNotListed)?;
        let magnitude = map_magnitude(rating, |rating| rating * weight.abs());
        Ok(if *weight < 0.0 { -magnitude } else { magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_weights_multiply_ratings_and_unlisted_events_are_dropped() {
        let listed = [("view".to_owned(), 1.5), ("hide".to_owned(), -2.0), ("7".to_owned(), 3.0)].into();
        let events = Events(&listed);
        let weight = |event, rating| events.weight(event, &mut Digits::default(), rating);
        assert_eq!(weight(Cell::Text(b"view"), 2.0), Ok(3.0));
        assert_eq!(weight(Cell::Text(b"hide"), 1.0), Ok(-2.0));
        assert_eq!(weight(Cell::Int(7), 1.0), Ok(3.0));
        for event in [Cell::Text(b"View"), Cell::Text(b" "), Cell::Null, Cell::Int(8)] {
            assert_eq!(weight(event, 1.0), Err(DropReason::EventNotListed), "{event:?}");
        }
        assert_eq!(weight(Cell::Float(7.0), 1.0), Err(DropReason::WrongType));
    }
}
