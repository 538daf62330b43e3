//! Services: one for clients, and a headless one whose name resolves to each serving pod.

use serde_json::json;
use sidecar_contract::ports;

use super::child::{Child, metadata};
use crate::{
    args::Settings,
    child_kind::ChildKind,
    names::{Component, Names, selector},
    validate::Workload,
};

/// `<name>`: the application port of the ready pods.
pub fn service(plan: &Workload) -> Child {
    Child {
        kind: ChildKind::Service,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(plan, &plan.name, Component::Serving),
            "spec": {
                "selector": selector(&plan.name, Component::Serving),
                "ports": [{
                    "name": ports::APP_NAME, "port": ports::APP, "targetPort": ports::APP_NAME,
                    "protocol": "TCP", "appProtocol": "http",
                }],
            },
        }),
    }
}

/// `<name>-pods`: each ready pod, for sidecars of apps. A pod that loads its first model is not
/// among them, nor is one that ends.
pub fn headless(plan: &Workload, settings: &Settings) -> Child {
    let port = |name: &str, number: u16| json!({"name": name, "port": number, "targetPort": name, "protocol": "TCP"});
    let mut service_ports = vec![port(ports::APP_NAME, ports::APP), port(ports::ADMIN_NAME, ports::ADMIN)];
    if settings.signer().is_some() && plan.wants_identity() {
        service_ports.push(port(ports::MESH_NAME, ports::MESH));
    }
    Child {
        kind: ChildKind::Service,
        manifest: json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(plan, &Names::new(&plan.name).pods(), Component::Serving),
            "spec": {
                "clusterIP": "None",
                "selector": selector(&plan.name, Component::Serving),
                "ports": service_ports,
            },
        }),
    }
}
