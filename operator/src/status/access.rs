//! How other pods can ask the serving pods.

use recommender_crds::AccessMode;

use crate::validate::Workload;

/// The mode of access. `signs`: the installation signs certificates.
pub fn mode(plan: &Workload, signs: bool) -> AccessMode {
    match (signs && plan.wants_identity(), plan.access.allows_plaintext()) {
        (true, true) => AccessMode::MutualTlsOrPlaintext,
        (true, false) => AccessMode::MutualTls,
        (false, true) => AccessMode::Plaintext,
        (false, false) => AccessMode::None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::validate;

    fn mode_of(access: &Value, signs: bool) -> Value {
        let recommender = json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender", "metadata": {"name": "movies", "namespace": "shop"},
            "spec": {"data": {"source": {"url": "s3://shop/a.csv"}}, "access": access},
        });
        let recommender = serde_json::from_value(recommender).unwrap();
        let plan = validate::plan(&recommender, &BTreeMap::new()).unwrap();
        serde_json::to_value(mode(&plan, signs)).unwrap()
    }

    #[test]
    fn the_mode_states_what_is_left_of_both_ways() {
        let never = json!({"plaintext": "Never"});
        assert_eq!(mode_of(&Value::Null, true), "MutualTLSOrPlaintext");
        assert_eq!(mode_of(&Value::Null, false), "Plaintext");
        assert_eq!(mode_of(&json!({"identity": "None"}), true), "Plaintext");
        assert_eq!(mode_of(&never, true), "MutualTLS");
        assert_eq!(mode_of(&never, false), "None");
    }
}
