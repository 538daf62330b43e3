//! Who may ask the serving pods of a Recommender, and over which port.

use serde::{Deserialize, Serialize};

use crate::{open::Open, unknown::UnknownValues};

/// Access to the serving pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Callers that may connect with mutual TLS. Absent: every ServiceAccount of the Recommender's
    /// own namespace; empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<AllowedCaller>>,
    /// Whether requests without TLS are answered.
    #[serde(default, skip_serializing_if = "Open::is_default")]
    pub plaintext: Open<PlaintextAccess>,
}

/// A ServiceAccount, or all of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedCaller {
    /// Namespace of the caller's pod.
    pub namespace: String,
    /// Name of its ServiceAccount. Absent: every one of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
}

/// Requests without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaintextAccess {
    /// They are answered. The NetworkPolicy of the Recommender restricts them to pods of its
    /// namespace and of `serving.allowFrom`; a pod does not know the namespace of a client without
    /// a certificate.
    #[default]
    SameNamespace,
    /// They are refused, except those of the pod itself.
    Never,
}

impl Access {
    /// Whether this is the default, which is omitted.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a ServiceAccount may connect to serving pods of namespace `own`.
    pub fn allows(&self, own: &str, namespace: &str, service_account: &str) -> bool {
        match &self.allow {
            None => namespace == own,
            Some(callers) => callers.iter().any(|caller| {
                let is_named = caller.service_account.as_deref().is_none_or(|name| name == service_account);
                caller.namespace == namespace && is_named
            }),
        }
    }

    /// Whether requests of other hosts are answered without TLS. A mode that this build does not
    /// know refuses them: it may be stricter than those that are known.
    pub fn allows_plaintext(&self) -> bool {
        self.plaintext == PlaintextAccess::SameNamespace
    }

    /// Values of a newer operator that this build does not know.
    pub(crate) fn add_unknown(&self, unknown: &mut UnknownValues) {
        unknown.add("access.plaintext", self.plaintext.unknown());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(text: &str) -> Access {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn without_a_list_the_own_namespace_is_allowed_and_with_one_only_what_it_names() {
        let web = ("shop", "web");
        let cases = [
            ("{}", web, true),
            ("{}", ("other", "web"), false),
            (r#"{"allow": []}"#, web, false),
            (r#"{"allow": [{"namespace": "shop"}]}"#, web, true),
            (r#"{"allow": [{"namespace": "other"}]}"#, web, false),
            (r#"{"allow": [{"namespace": "other"}, {"namespace": "shop", "serviceAccount": "web"}]}"#, web, true),
            (r#"{"allow": [{"namespace": "shop", "serviceAccount": "web"}]}"#, ("shop", "web2"), false),
            (r#"{"allow": [{"namespace": "shop", "serviceAccount": "web"}]}"#, ("other", "web"), false),
            (r#"{"allow": [{"namespace": "shop", "serviceAccount": ""}]}"#, web, false),
        ];
        for (text, (namespace, service_account), expected) in cases {
            let found = access(text).allows("shop", namespace, service_account);
            assert_eq!(found, expected, "{text}: {namespace}/{service_account}");
        }
    }

    #[test]
    fn an_unknown_mode_of_plaintext_refuses() {
        assert!(access("{}").allows_plaintext());
        assert!(access(r#"{"plaintext": "SameNamespace"}"#).allows_plaintext());
        for text in [r#"{"plaintext": "Never"}"#, r#"{"plaintext": "never"}"#, r#"{"plaintext": "OnMondays"}"#] {
            assert!(!access(text).allows_plaintext(), "{text}");
        }
    }
}
