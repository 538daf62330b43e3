//! The NetworkPolicy of the serving pods. It restricts ingress only, except for a composition; other
//! egress is left to the cluster's own policies.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sidecar_contract::{PartConfig, ports};

use super::child::{Child, metadata};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    names::{COMPONENT_LABEL, Component, RECOMMENDER_LABEL, selector},
    validate::Workload,
};

/// Ports of DNS: the usual one, and that of OpenShift's DNS pods, to which a policy applies after the
/// address of the Service has been replaced.
const DNS: [u16; 2] = [53, 5353];

/// Builds the policy of a composition: as [`build`], and its pods connect to DNS servers and to the
/// serving pods of its parts only.
pub fn of_composition(workload: &Workload, parts: &[PartConfig], settings: &Settings) -> Child {
    let mut child = build(workload, settings);
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let port = |protocol: &str, port: u16| json!({"protocol": protocol, "port": port});
    let egress = json!([
        {"ports": DNS.iter().flat_map(|dns| [port("UDP", *dns), port("TCP", *dns)]).collect::<Vec<_>>()},
        {
            "to": [{"podSelector": {
                "matchLabels": {COMPONENT_LABEL: Component::Serving.as_str()},
                "matchExpressions": [{"key": RECOMMENDER_LABEL, "operator": "In", "values": names}],
            }}],
            "ports": [port("TCP", ports::APP), port("TCP", ports::MESH)],
        },
    ]);
    if let Some(spec) = child.manifest.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("policyTypes".to_owned(), json!(["Ingress", "Egress"]));
        spec.insert("egress".to_owned(), egress);
    }
    child
}

/// Builds the policy. The application port is open to the namespace and to `serving.allowFrom`,
/// unless plaintext is refused; the admin port to the namespaces of the operator and of monitoring;
/// the port for mutual TLS to the namespaces of allowed callers, whose certificates the pods check.
pub fn build(plan: &Workload, settings: &Settings) -> Child {
    let mut clients = vec![json!({"podSelector": {}})];
    clients.extend(plan.spec.serving.allow_from.iter().filter_map(|peer| serde_json::to_value(peer).ok()));
    let namespaces: Vec<&str> = std::iter::once(settings.namespace.as_str())
        .chain(settings.monitoring_namespaces.iter().map(String::as_str))
        .collect();
    let admin_clients = json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
    ]}}]);
    let mesh_clients = match &plan.access.allow {
        None => vec![json!({"podSelector": {}})],
        Some(callers) => {
            let namespaces: BTreeSet<&str> = callers.iter().map(|caller| caller.namespace.as_str()).collect();
            let peer = |namespaces| {
                json!({"namespaceSelector": {"matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
                ]}})
            };
            Some(namespaces).filter(|namespaces| !namespaces.is_empty()).map(peer).into_iter().collect()
        }
    };
    let rule = |from: Value, port: u16| json!({"from": from, "ports": [{"protocol": "TCP", "port": port}]});
    let mut ingress = Vec::new();
    if plan.access.allows_plaintext() {
        ingress.push(rule(Value::from(clients), ports::APP));
    }
    ingress.push(rule(admin_clients, ports::ADMIN));
    // A rule without peers would admit all.
    if settings.signer().is_some() && plan.wants_identity() && !mesh_clients.is_empty() {
        ingress.push(rule(Value::from(mesh_clients), ports::MESH));
    }
    Child {
        kind: ChildKind::NetworkPolicy,
        manifest: json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "podSelector": {"matchLabels": selector(&plan.name, Component::Serving)},
                "policyTypes": ["Ingress"],
                "ingress": ingress,
            },
        }),
    }
}
