//! Looks up the addresses of the serving pods, at an interval and when connections fail. The last
//! good addresses are kept while lookups fail.
//!
//! The system's resolver (`getaddrinfo`) answers: it searches the cluster's domains, repeats a
//! truncated answer over TCP, and reads `/etc/hosts`. It tells no time to live, so the interval is
//! fixed; and it cannot be aborted, so one lookup runs at a time.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    endpoint_set::EndpointSet,
    limits::{LOOKUP_INTERVAL, LOOKUP_INTERVAL_MIN},
    observer::Observer,
};

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// A target from its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected =
            || format!("{text:?}: expected HOST:PORT, such as films-pods.shop.svc:8080 or [2001:db8::7]:8080");
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = literal.map_or_else(
            || !host.is_empty() && !host.contains(['/', ' ', '@', ':', '[', ']']),
            |literal| literal.parse::<Ipv6Addr>().is_ok(),
        );
        let port = port.parse().ok().filter(|port| *port > 0 && is_host).ok_or_else(expected)?;
        Ok(Self::new(literal.unwrap_or(host), port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        // The text is the authority of requests (RFC 3986, 3.2.2): only the last colon is before a port.
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Finds the addresses of the targets.
#[derive(Debug)]
pub struct Discovery {
    targets: Vec<Target>,
    endpoints: Arc<EndpointSet>,
    /// A connection failed: the addresses may be old.
    refresh: Notify,
    last_success: Mutex<Option<Instant>>,
}

impl Discovery {
    /// A discovery that knows no address yet.
    pub fn new(targets: Vec<Target>, endpoints: Arc<EndpointSet>) -> Self {
        Self { targets, endpoints, refresh: Notify::new(), last_success: Mutex::new(None) }
    }

    /// Asks for a lookup before the interval ends.
    pub fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// Time since the last lookup that succeeded; `None` before the first.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let last = *self.last_success.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| now.saturating_duration_since(last))
    }

    /// Looks up the addresses until the task is aborted.
    pub async fn run(&self, observer: &dyn Observer) {
        let mut known = KnownAddresses::new(self.targets.len());
        let mut is_failing = false;
        loop {
            let mut failure = None;
            for (index, target) in self.targets.iter().enumerate() {
                let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
                if let Err(error) = known.record(index, found) {
                    failure = Some((target, error));
                }
            }
            let now = Instant::now();
            self.endpoints.update(&known.all(), now);
            observer.looked_up(failure.is_none());
            match &failure {
                None => *self.last_success.lock().unwrap_or_else(PoisonError::into_inner) = Some(now),
                // The first of many failures is worth a line.
                Some((target, error)) if !is_failing => {
                    tracing::warn!(%target, error, "cannot look up the serving pods; the last known addresses are kept");
                }
                Some(_) => {}
            }
            if is_failing && failure.is_none() {
                tracing::info!("the serving pods are found again");
            }
            is_failing = failure.is_some();
            tokio::time::sleep(LOOKUP_INTERVAL_MIN).await;
            // Until the first addresses are known, nothing can answer.
            if !known.all().is_empty() {
                let rest = LOOKUP_INTERVAL.saturating_sub(LOOKUP_INTERVAL_MIN);
                let _ = tokio::time::timeout(rest, self.refresh.notified()).await;
            }
        }
    }
}

/// The last good addresses of each target.
#[derive(Debug)]
struct KnownAddresses(Vec<BTreeSet<SocketAddr>>);

impl KnownAddresses {
    fn new(targets: usize) -> Self {
        Self(vec![BTreeSet::new(); targets])
    }

    /// Takes the result of a lookup over; keeps what was known if it is an error or empty.
    fn record<I>(&mut self, target: usize, found: io::Result<I>) -> Result<(), String>
    where
        I: Iterator<Item = SocketAddr>,
    {
        let found: BTreeSet<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
        if found.is_empty() {
            return Err("no addresses".to_owned());
        }
        if let Some(known) = self.0.get_mut(target) {
            *known = found;
        }
        Ok(())
    }

    fn all(&self) -> BTreeSet<SocketAddr> {
        self.0.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for text in ["films-pods.shop.svc:8080", "10.0.0.1:80", "localhost:1", "[::1]:80", "[2001:db8::7]:8443"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
            assert!(text.parse::<http::uri::Authority>().is_ok_and(|authority| authority.port().is_some()), "{text}");
        }
        assert_eq!("[::1]:80".parse::<Target>(), Ok(Target::new("::1", 80)));
        let not_names = ["films", ":80", "films:", "films:0", "films:http", "films:99999", "http://films:80", "a b:80"];
        for text in not_names.into_iter().chain(["::1:80", "[::1:80", "[films]:80", "[]:80"]) {
            assert!(text.parse::<Target>().unwrap_err().contains("expected HOST:PORT"), "{text}");
        }
    }

    #[test]
    fn the_last_good_addresses_of_a_target_are_kept_while_its_lookups_fail() {
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 80));
        let mut known = KnownAddresses::new(2);
        let failed = |error: &str| Err::<std::vec::IntoIter<SocketAddr>, _>(io::Error::other(error));
        assert_eq!(known.record(0, Ok(vec![address(1), address(2), address(1)].into_iter())), Ok(()));
        assert_eq!(known.record(1, Ok(vec![address(3)].into_iter())), Ok(()));
        assert_eq!(known.record(0, failed("no such host")), Err("no such host".to_owned()));
        assert_eq!(known.record(1, Ok(Vec::new().into_iter())), Err("no addresses".to_owned()));
        assert_eq!(known.all(), [1, 2, 3].map(address).into());
        assert_eq!(known.record(0, Ok(vec![address(4)].into_iter())), Ok(()));
        assert_eq!(known.all(), [3, 4].map(address).into());
    }
}
