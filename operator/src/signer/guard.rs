//! The admission policy that lets only kubelets create requests for the signer. The API server
//! compares a request with its pod for kubelets only; without the policy, anyone who may create
//! requests in a namespace could ask for the certificate of another pod's account in it.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{Api, Client};

/// Whether the policy and its binding, which have one name, are in force; if not, why.
///
/// # Errors
/// Fails if an API request fails.
pub async fn problem(client: &Client, name: &str) -> Result<Option<String>, kube::Error> {
    let policy = Api::<ValidatingAdmissionPolicy>::all(client.clone()).get_opt(name).await?;
    let binding = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()).get_opt(name).await?;
    Ok(defect(policy.as_ref(), binding.as_ref()).map(|defect| {
        format!(
            "ValidatingAdmissionPolicy {name}, without which others than kubelets could ask for certificates: {defect}; \
             install it with the chart"
        )
    }))
}

/// What is wrong with the policy or its binding.
fn defect(
    policy: Option<&ValidatingAdmissionPolicy>,
    binding: Option<&ValidatingAdmissionPolicyBinding>,
) -> Option<&'static str> {
    let Some(policy) = policy.and_then(|policy| policy.spec.as_ref()) else { return Some("it is missing") };
    let rules = policy.match_constraints.iter().flat_map(|constraints| constraints.resource_rules.iter().flatten());
    let mut resources = rules.flat_map(|rule| rule.resources.iter().flatten());
    if !resources.any(|resource| resource == "podcertificaterequests") {
        return Some("it does not match podcertificaterequests");
    }
    if policy.failure_policy.as_deref() == Some("Ignore") {
        return Some("its failurePolicy is Ignore; expected Fail");
    }
    let Some(binding) = binding.and_then(|binding| binding.spec.as_ref()) else {
        return Some("its binding is missing");
    };
    let denies = binding.validation_actions.iter().flatten().any(|action| action == "Deny");
    (!denies || binding.match_resources.is_some()).then_some("its binding does not deny in all namespaces")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A word of the defect, and the change of policy and binding that makes it.
    type Case = (&'static str, fn(&mut Value, &mut Value));

    fn defect_of(change: impl FnOnce(&mut Value, &mut Value)) -> Option<&'static str> {
        let rule = json!({"apiGroups": ["certificates.k8s.io"], "apiVersions": ["*"], "operations": ["CREATE"],
            "resources": ["podcertificaterequests"]});
        let mut policy =
            json!({"metadata": {}, "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}}});
        let mut binding = json!({"metadata": {}, "spec": {"policyName": "a", "validationActions": ["Deny"]}});
        change(&mut policy, &mut binding);
        let (policy, binding) = (serde_json::from_value(policy).ok(), serde_json::from_value(binding).ok());
        defect(policy.as_ref(), binding.as_ref())
    }

    #[test]
    fn a_policy_that_does_not_deny_is_no_guard() {
        assert_eq!(defect_of(|_, _| ()), None);
        assert_eq!(defect_of(|policy, _| *policy = Value::Null), Some("it is missing"));
        assert_eq!(defect_of(|_, binding| *binding = Value::Null), Some("its binding is missing"));
        let cases: [Case; 4] = [
            ("podcertificaterequests", |policy, _| policy["spec"]["matchConstraints"] = json!({})),
            ("Ignore", |policy, _| policy["spec"]["failurePolicy"] = json!("Ignore")),
            ("does not deny", |_, binding| binding["spec"]["validationActions"] = json!(["Warn", "Audit"])),
            ("does not deny", |_, binding| {
                binding["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
            }),
        ];
        for (word, change) in cases {
            let defect = defect_of(change).unwrap_or_default();
            assert!(defect.contains(word), "{word}: {defect}");
        }
    }
}
