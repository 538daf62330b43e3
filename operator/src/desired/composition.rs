//! The desired writes of a pass of a composition: manifests of its children, and what is deleted.
//! Pure.

use super::{
    Child, DeploymentChange, Release, Rollout, config_map, deployment, disruption_budget, network_policy,
    pruned::pruned, rollout::scaled, service_account, services,
};
use crate::{
    args::Settings, child_kind::ChildKind, finalizer, names::TEMPLATE_HASH_ANNOTATION, observed::Observed,
    validate::composition::CompositionPlan,
};

/// Everything that a pass of a composition writes, except the status. `apply` writes it in the order
/// of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredComposition {
    /// Finalizers of the Recommender, if they change. It may have data of the time when it trained a
    /// model.
    pub finalizers: Option<Vec<String>>,
    /// ServiceAccount of the pods, unless the user names one.
    pub service_account: Option<Child>,
    /// Jobs of the time when it trained a model.
    pub obsolete_jobs: Vec<String>,
    /// NetworkPolicy of the pods.
    pub network_policy: Child,
    /// Service for clients.
    pub service: Child,
    /// Headless Service of all pods.
    pub headless_service: Child,
    /// PodDisruptionBudget of the pods.
    pub disruption_budget: Child,
    /// Composition and Deployment; `None` if the composition must not be served: the one in force
    /// stays.
    pub rollout: Option<Rollout>,
    /// Children that exist, but are not needed any more.
    pub pruned: Vec<(ChildKind, String)>,
}

/// Builds the desired writes.
pub fn composition(plan: &CompositionPlan, observed: &Observed, settings: &Settings) -> DesiredComposition {
    let workload = &plan.workload;
    let service_account = service_account::build(workload);
    let rollout = plan.config().map(|config| {
        let deployment = deployment::of_composition(workload, settings);
        let config_map = config_map::of_composition(workload, &config);
        let hash = deployment.annotation(TEMPLATE_HASH_ANNOTATION).unwrap_or_default();
        let needs_slot = observed.deployment.as_ref().is_some_and(|current| current.template_hash != hash)
            && workload.spec.serving.replicas > 0;
        // A composition is swapped in without new pods; only their template waits.
        let while_queued =
            needs_slot.then(|| Release { config_map: config_map.clone(), deployment: scaled(workload, observed) });
        Rollout { next: Release { config_map, deployment: DeploymentChange::Apply(deployment) }, while_queued }
    });
    let jobs = observed.jobs.iter().map(|job| &job.name).chain(observed.tasks.iter().map(|task| &task.name));
    DesiredComposition {
        pruned: pruned(workload, observed, rollout.as_ref(), service_account.iter()),
        finalizers: finalizer::change(&workload.finalizers, workload.spec.deletion_policy),
        obsolete_jobs: jobs.cloned().collect(),
        network_policy: network_policy::of_composition(workload, &plan.parts, settings),
        service: services::service(workload),
        headless_service: services::headless(workload, settings),
        disruption_budget: disruption_budget::build(workload),
        service_account,
        rollout,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        desired::tests::settings,
        validate::composition::{Named, plan},
    };

    fn desired() -> DesiredComposition {
        let object = json!({
            "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
            "metadata": {"name": "home", "namespace": "shop", "uid": "uid"},
            "spec": {"algorithm": {"compose": {"cascade": {"parts": ["films", "books"]}}}},
        });
        let plan = plan(&serde_json::from_value(object).unwrap(), &Named::new(), false).unwrap();
        composition(&plan, &Observed::nothing(), &settings())
    }

    #[test]
    fn a_composition_mounts_no_store_and_runs_compose() {
        let Some(Rollout { next: Release { config_map, deployment: DeploymentChange::Apply(deployment) }, .. }) =
            desired().rollout
        else {
            panic!("expected a Deployment");
        };
        let pod = &deployment.manifest["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["args"][0], "compose");
        assert_eq!(pod["volumes"], json!([{"name": "config", "configMap": {"name": "home-serving"}}]));
        assert_eq!(pod["serviceAccountName"], "home");
        let text = config_map.manifest["data"]["composition.json"].as_str().unwrap();
        let config: sidecar_contract::CompositionConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.rule.parts(), ["films", "books"]);
    }

    #[test]
    fn its_pods_connect_to_dns_and_to_the_pods_of_its_parts_only() {
        let spec = &desired().network_policy.manifest["spec"];
        assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
        let to_parts = &spec["egress"][1];
        assert_eq!(to_parts["to"][0]["podSelector"]["matchExpressions"][0]["values"], json!(["films", "books"]));
        let ports: Vec<u64> =
            to_parts["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect();
        assert_eq!(ports, [8080, 8443]);
        let dns = json!([
            {"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53},
            {"protocol": "UDP", "port": 5353}, {"protocol": "TCP", "port": 5353},
        ]);
        assert_eq!(spec["egress"][0]["ports"], dns);
    }
}
