//! Which trust anchors sidecars have, as serving pods report it at `GET /anchors` on their admin
//! port. The operator reads it before a new root signs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hash::Digest;

/// Report of a serving pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnchorsReport {
    /// Digest of the anchors of the pod itself; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchors: Option<Digest>,
    /// Callers with mutual TLS, as they stated it last.
    pub callers: Vec<CallerAnchors>,
}

/// The anchors of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerAnchors {
    /// Address of the pod of the caller.
    pub address: IpAddr,
    /// Digest of its anchors.
    pub anchors: Digest,
    /// Seconds since it stated this.
    pub seconds_ago: u64,
}

/// Digest of a set of trust anchors in DER: the SHA-256 of their sorted SHA-256 fingerprints. The
/// order of the anchors does not matter, because the kubelet shuffles them; nor do repetitions.
pub fn anchors_digest<'a>(anchors: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut fingerprints: Vec<[u8; 32]> =
        anchors.into_iter().map(|certificate| Sha256::digest(certificate).into()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    Digest::of(&fingerprints.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_sorted_fingerprints() {
        // printf a | sha256sum, printf b | sha256sum; sorted, xxd -r -p | sha256sum.
        let expected = "18d79cb747ea174c59f3a3b41768672526d56fecc58360a99d283d0f9b0a3cc0";
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        assert_eq!(anchors_digest([a, b]).as_str(), expected);
        assert_eq!(anchors_digest([b, a, b]).as_str(), expected);
        assert_ne!(anchors_digest([a]).as_str(), expected);
    }
}
