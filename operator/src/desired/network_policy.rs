//! The NetworkPolicy of the serving pods. It restricts ingress only; egress is left to the
//! cluster's own policies.

use serde_json::{Value, json};
use sidecar_contract::ports;

use super::child::{Child, metadata};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    names::{Component, selector},
    validate::Plan,
};

/// Builds the policy. The application port is open to the namespace and to `serving.allowFrom`, the
/// admin port to the namespaces of the operator and of monitoring.
pub fn build(plan: &Plan, settings: &Settings) -> Child {
    let mut clients = vec![json!({"podSelector": {}})];
    clients.extend(plan.spec.serving.allow_from.iter().filter_map(|peer| serde_json::to_value(peer).ok()));
    let namespaces: Vec<&str> = std::iter::once(settings.namespace.as_str())
        .chain(settings.monitoring_namespaces.iter().map(String::as_str))
        .collect();
    let admin_clients = json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
    ]}}]);
    let rule = |from: Value, port: u16| json!({"from": from, "ports": [{"protocol": "TCP", "port": port}]});
    Child {
        kind: ChildKind::NetworkPolicy,
        manifest: json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "podSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
                "policyTypes": ["Ingress"],
                "ingress": [rule(Value::from(clients), ports::APP), rule(admin_clients, ports::ADMIN)],
            },
        }),
    }
}
