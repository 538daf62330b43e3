//! SPIFFE ids of Kubernetes workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.

use std::{fmt, str::FromStr};

/// Maximum length of a trust domain (SPIFFE ID specification, 2.1).
const TRUST_DOMAIN_CHARS_MAX: usize = 255;
/// Maximum length of a segment of the path: that of a name in Kubernetes.
const SEGMENT_CHARS_MAX: usize = 253;

/// A ServiceAccount of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
}

/// The SPIFFE id of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// Trust domain.
    pub trust_domain: String,
    /// What it names.
    pub workload: Workload,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("{text:?}: expected NAMESPACE/SERVICEACCOUNT, such as shop/films");
        let (namespace, service_account) = text.split_once('/').ok_or_else(expected)?;
        if !is_segment(namespace) || !is_segment(service_account) {
            return Err(expected());
        }
        Ok(Self { namespace: namespace.to_owned(), service_account: service_account.to_owned() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, workload: Workload { namespace, service_account } } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }
}

/// Why a URI is not the id of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct SpiffeIdError;

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let rest = uri.strip_prefix("spiffe://").ok_or(SpiffeIdError)?;
        let mut parts = rest.split('/');
        let mut next = || parts.next().ok_or(SpiffeIdError);
        let (trust_domain, ns, namespace, sa, service_account) = (next()?, next()?, next()?, next()?, next()?);
        let is_path = parts.next().is_none() && ns == "ns" && sa == "sa";
        if !is_path || !is_trust_domain(trust_domain) || !is_segment(namespace) || !is_segment(service_account) {
            return Err(SpiffeIdError);
        }
        let workload = Workload { namespace: namespace.to_owned(), service_account: service_account.to_owned() };
        Ok(Self { trust_domain: trust_domain.to_owned(), workload })
    }
}

fn is_trust_domain(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    !text.is_empty() && text.len() <= TRUST_DOMAIN_CHARS_MAX && text.bytes().all(is_valid)
}

/// Whether this is a segment of a path (SPIFFE ID specification, 2.2).
fn is_segment(text: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !["", ".", ".."].contains(&text) && text.len() <= SEGMENT_CHARS_MAX && text.bytes().all(is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_and_written() {
        for uri in ["spiffe://cluster.local/ns/shop/sa/web", "spiffe://a_b-c.1/ns/x/sa/web.front-1"] {
            assert_eq!(uri.parse::<SpiffeId>().unwrap().to_string(), uri);
        }
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
        assert_eq!((id.trust_domain.as_str(), id.workload), ("cluster.local", "shop/web".parse().unwrap()));
    }

    #[test]
    fn other_uris_are_refused() {
        let long = "a".repeat(254);
        let cases = [
            "",
            "spiffe://",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/ns/shop/sa",
            "spiffe://td/ns/shop/sa/",
            "spiffe://td/ns//sa/web",
            "spiffe://td/ns/shop/sa/web/",
            "spiffe://td/ns/shop/sa/web/x",
            "spiffe://td//ns/shop/sa/web",
            "spiffe:///ns/shop/sa/web",
            "spiffe://td/sa/web/ns/shop",
            "spiffe://td/NS/shop/sa/web",
            "SPIFFE://td/ns/shop/sa/web",
            "https://td/ns/shop/sa/web",
            "spiffe://TD/ns/shop/sa/web",
            "spiffe://td:80/ns/shop/sa/web",
            "spiffe://u@td/ns/shop/sa/web",
            "spiffe://td/ns/shop/sa/web?x",
            "spiffe://td/ns/shop/sa/web#x",
            "spiffe://td/ns/shop/sa/..",
            "spiffe://td/ns/./sa/web",
            "spiffe://td/ns/shop/sa/we%62",
            "spiffe://td/ns/shop/sa/wéb",
            " spiffe://td/ns/shop/sa/web",
            "spiffe://td/ns/shop/sa/web\0",
            &format!("spiffe://td/ns/shop/sa/{long}"),
            &format!("spiffe://{long}aa/ns/shop/sa/web"),
        ];
        for uri in cases {
            assert_eq!(uri.parse::<SpiffeId>(), Err(SpiffeIdError), "{uri}");
        }
    }

    #[test]
    fn a_workload_has_two_names() {
        for text in ["shop", "shop/", "/web", "shop/web/x", "shop/..", "sh op/web"] {
            assert!(text.parse::<Workload>().unwrap_err().contains("NAMESPACE/SERVICEACCOUNT"), "{text}");
        }
    }
}
