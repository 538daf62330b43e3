//! Who may reach the serving pods. Ingress only: what they may reach is the cluster's own matter.

use serde_json::{Value, json};
use sidecar_contract::ports;

use super::{Child, Kind, metadata};
use crate::{
    args::Settings,
    names::{Component, selector},
    validate::Plan,
};

/// The application port for the namespace and `serving.allowFrom`; the admin port for operator and monitoring.
pub fn build(plan: &Plan, settings: &Settings) -> Child {
    let mut callers = vec![json!({"podSelector": {}})];
    callers.extend(plan.spec.serving.allow_from.iter().filter_map(|peer| serde_json::to_value(peer).ok()));
    let namespaces: Vec<&str> = std::iter::once(settings.namespace.as_str())
        .chain(settings.monitoring_namespaces.iter().map(String::as_str))
        .collect();
    let watchers = json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
    ]}}]);
    let rule = |from: Value, port: u16| json!({"from": from, "ports": [{"protocol": "TCP", "port": port}]});
    Child {
        kind: Kind::NetworkPolicy,
        manifest: json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "podSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
                "policyTypes": ["Ingress"],
                "ingress": [rule(Value::from(callers), ports::APP), rule(watchers, ports::ADMIN)],
            },
        }),
    }
}
