//! Conditions of compositions, as docs/conditions.md describes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use recommender_crds::Recommender;
use serde_json::{Value, json};
use sidecar_contract::ModelReport;

use super::*;
use crate::{
    applied::AppliedRollout,
    observed::DeploymentFacts,
    validate::composition::{Named, plan},
};

/// The state of a composition and of its pods.
struct Scene {
    compose: Value,
    parts: Vec<(&'static str, Value)>,
    ready: i32,
    /// Whether each pod reports the composition; `None`: no pod answers.
    reports: Vec<bool>,
}

fn trained(signal: &str) -> Value {
    json!({"data": {"source": {"url": "s3://a/b.csv"}, "signal": signal}})
}

fn scene() -> Scene {
    Scene {
        compose: json!({"blend": {"parts": [{"name": "films"}, {"name": "books"}], "normalize": "score"}}),
        parts: vec![("films", trained("implicit")), ("books", trained("implicit"))],
        ready: 2,
        reports: vec![true, true],
    }
}

impl Scene {
    fn status(&self, before: &RecommenderStatus) -> RecommenderStatus {
        let recommender = |name: &str, spec: &Value| -> Recommender {
            serde_json::from_value(json!({
                "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
                "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": 2}, "spec": spec,
            }))
            .unwrap()
        };
        let named: Named =
            self.parts.iter().map(|(name, spec)| ((*name).to_owned(), Some(recommender(name, spec)))).collect();
        let spec = json!({"algorithm": {"compose": self.compose}, "serving": {"replicas": 2}});
        let plan = plan(&recommender("home", &spec), &named, false).unwrap();
        let hash = plan.config().as_ref().map(CompositionConfig::hash);
        let report =
            |applied: &bool| ModelReport { config_hash: hash.clone().filter(|_| *applied), ..ModelReport::default() };
        let reports = self.reports.iter().enumerate().map(|(pod, applied)| (format!("p-{pod}"), report(applied)));
        let observed = Observed { reports: reports.collect(), ..Observed::nothing() };
        let deployment = DeploymentFacts {
            ready: self.ready,
            replicas: 2,
            desired: 2,
            updated: 2,
            current: true,
            ..DeploymentFacts::default()
        };
        let applied = AppliedComposition {
            rollout: AppliedRollout { deployment: Some(deployment), ..AppliedRollout::default() },
            config_pending: self.reports.contains(&false),
            ..AppliedComposition::default()
        };
        let input = CompositionInput { plan: &plan, observed: &observed, applied: &applied, signs: false, before };
        composition(input, Timestamp::from_second(1000).unwrap())
    }
}

/// The conditions of the composition that a sentence of the table describes; `None` for sentences
/// about other Recommenders.
pub fn described(when: &str) -> Option<Vec<Condition>> {
    let scene = match when.strip_prefix("composition: ")? {
        "all parts exist and can be asked" | "all pods report it" => scene(),
        "a part does not exist; the others answer" => Scene { parts: vec![("films", trained("implicit"))], ..scene() },
        "the access of a part does not admit it; the others answer" => {
            let mut never = trained("implicit");
            never["access"] = json!({"plaintext": "Never"});
            Scene { parts: vec![("films", trained("implicit")), ("books", never)], ..scene() }
        }
        "a part is made of it, by whatever way" => {
            let back = json!({"algorithm": {"compose": {"cascade": {"parts": ["films", "home"]}}}});
            Scene { parts: vec![("films", trained("implicit")), ("books", back)], ready: 0, reports: vec![], ..scene() }
        }
        "it blends the scores of ratings with those of preferences" => {
            Scene { parts: vec![("films", trained("implicit")), ("books", trained("explicit"))], ..scene() }
        }
        "some pods do not report it yet" => Scene { reports: vec![true, false], ..scene() },
        "no ready pod answers the operator" => Scene { reports: vec![], ..scene() },
        "fewer pods are ready than desired" => Scene { ready: 1, reports: vec![true], ..scene() },
        other => panic!("no state of a composition for: {other}"),
    };
    Some(scene.status(&RecommenderStatus::default()).conditions)
}

#[test]
fn a_composition_that_serves_needs_no_attention_until_a_part_is_missing() {
    let status = scene().status(&RecommenderStatus::default());
    assert_eq!((status.reason.as_str(), status.loaded_replicas), ("Serving", 2));
    assert_eq!((status.algorithm.as_str(), status.url.as_str()), ("compose:blend", "http://home.shop.svc:8080"));
    let without = Scene { parts: vec![("films", trained("implicit"))], ..scene() };
    assert_eq!(without.status(&status).reason, "PartNotFound");
}

#[test]
fn a_cycle_leaves_the_pods_that_serve() {
    let before = scene().status(&RecommenderStatus::default());
    let back = json!({"algorithm": {"compose": {"cascade": {"parts": ["films", "home"]}}}});
    let cyclic = Scene { parts: vec![("films", trained("implicit")), ("books", back)], ..scene() };
    let status = cyclic.status(&before);
    assert!(is_true(&status.conditions, ConditionType::Ready));
    assert_eq!(status.reason, "PartsCyclic");
}
