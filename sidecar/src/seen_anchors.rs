//! Which trust anchors callers have, as they state it on their connections with mutual TLS. The
//! operator reads it before a new root signs.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue};
use mesh::ANCHORS_HEADER;
use sidecar_contract::{CallerAnchors, Digest};
use tokio::time::Instant;

use crate::limits::{CALLERS_MAX, SEEN_ANCHORS_INTERVAL};

/// What callers stated last, by the address of their pod.
#[derive(Debug, Default)]
pub struct SeenAnchors(Mutex<HashMap<IpAddr, (Digest, Instant)>>);

impl SeenAnchors {
    /// Callers, and how long ago they stated their anchors.
    pub fn callers(&self, now: Instant) -> Vec<CallerAnchors> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = |(address, (anchors, at)): (&IpAddr, &(Digest, Instant))| CallerAnchors {
            address: *address,
            anchors: anchors.clone(),
            seconds_ago: now.saturating_duration_since(*at).as_secs(),
        };
        seen.iter().map(caller).collect()
    }

    fn record(&self, address: IpAddr, anchors: Digest, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= CALLERS_MAX && !seen.contains_key(&address) {
            let oldest = seen.iter().min_by_key(|(_, (_, at))| *at).map(|(address, _)| *address);
            oldest.and_then(|oldest| seen.remove(&oldest));
        }
        seen.insert(address, (anchors, now));
    }
}

/// What the caller of one connection states.
#[derive(Clone, Debug)]
pub struct ConnectionAnchors {
    seen: Arc<SeenAnchors>,
    address: IpAddr,
    last: Arc<Mutex<Option<(HeaderValue, Instant)>>>,
}

impl ConnectionAnchors {
    /// A connection of the caller at this address.
    pub fn new(seen: Arc<SeenAnchors>, address: IpAddr) -> Self {
        Self { seen, address: address.to_canonical(), last: Arc::default() }
    }

    /// Records what a request states: at once if it has changed, else at an interval.
    pub fn observe(&self, headers: &HeaderMap, now: Instant) {
        let Some(value) = headers.get(ANCHORS_HEADER) else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recorded = |(recorded, at): &(HeaderValue, Instant)| {
            recorded == value && now.saturating_duration_since(*at) < SEEN_ANCHORS_INTERVAL
        };
        if last.as_ref().is_some_and(is_recorded) {
            return;
        }
        // A text that is not a digest states nothing.
        let Some(anchors) = value.to_str().ok().and_then(|text| Digest::try_from(text.to_owned()).ok()) else { return };
        self.seen.record(self.address, anchors, now);
        *last = Some((value.clone(), now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stating(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(ANCHORS_HEADER), HeaderValue::from_str(text).unwrap())])
    }

    #[test]
    fn changes_are_recorded_at_once_and_repetitions_at_an_interval() {
        let (seen, begin) = (Arc::<SeenAnchors>::default(), Instant::now());
        let connection = ConnectionAnchors::new(Arc::clone(&seen), "::ffff:10.0.0.7".parse().unwrap());
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        connection.observe(&HeaderMap::new(), begin);
        connection.observe(&stating("not a digest"), begin);
        assert_eq!(seen.callers(begin), []);
        let address = "10.0.0.7".parse().unwrap();
        let caller = |anchors: &Digest, seconds_ago| CallerAnchors { address, anchors: anchors.clone(), seconds_ago };
        connection.observe(&stating(old.as_str()), begin);
        connection.observe(&stating(old.as_str()), after(9));
        assert_eq!(seen.callers(after(9)), [caller(&old, 9)]);
        connection.observe(&stating(old.as_str()), after(10));
        assert_eq!(seen.callers(after(12)), [caller(&old, 2)]);
        connection.observe(&stating(new.as_str()), after(12));
        assert_eq!(seen.callers(after(12)), [caller(&new, 0)]);
    }

    #[test]
    fn the_number_of_callers_is_bounded_and_the_oldest_leaves() {
        let (seen, begin) = (SeenAnchors::default(), Instant::now());
        for number in 0..=u32::try_from(CALLERS_MAX).unwrap() {
            let at = begin + Duration::from_secs(number.into());
            seen.record(IpAddr::from(number.to_be_bytes()), Digest::of(b"a"), at);
        }
        let callers = seen.callers(begin);
        assert_eq!(callers.len(), CALLERS_MAX);
        assert!(!callers.iter().any(|caller| caller.address == IpAddr::from([0, 0, 0, 0])));
    }
}
