//! Builders over a minimal resource: the promises that other objects and other people rely on.

use clap::Parser;
use serde_json::json;
use sidecar_contract::{RunId, StoreConfig};

use super::*;
use crate::{
    args::{Cli, Command},
    decide,
    validate::validate,
};

fn plan() -> Plan {
    let yaml = "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies, namespace: shop, uid: u-1, generation: 1}
spec:
  data: {source: {url: 's3://shop/ratings.csv', secretRef: {name: shop-s3}}}
  serving: {replicas: 3, labels: {team: web, recmesh.dev/recommender: stolen}}
";
    validate(&serde_yaml_ng::from_str(yaml).unwrap()).unwrap()
}

fn settings() -> Settings {
    let arguments = [
        "recmesh-operator",
        "run",
        "--namespace=recmesh-system",
        "--sidecar-image=sidecar:1",
        "--store-endpoint=http://store:9000",
    ];
    match Cli::parse_from(arguments).command {
        Command::Run(settings) => settings,
        Command::Check { .. } => unreachable!("the arguments say run"),
    }
}

fn store() -> StoreConfig {
    StoreConfig {
        url: "s3://recmesh".into(),
        endpoint: None,
        region: "us-east-1".into(),
        prefix: "1b2c/shop/movies/".into(),
    }
}

fn job() -> Value {
    let run = RunId { number: 7, attempt: "0123456789".into() };
    training_job(&plan(), &settings(), &decide::training_config(&plan(), run, store(), None)).manifest
}

#[test]
fn every_child_is_owned_and_labelled() {
    let config = serving_config(&plan(), &decide::serving(&plan(), &[], None), None, store());
    let secrets = StoreSecrets { train: ("a".into(), "b".into()), serve: ("c".into(), "d".into()) };
    for child in children(&plan(), &settings(), &secrets, &config) {
        let owner = &child.manifest["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&json!("u-1"), &json!(true)), "{}", child.name());
        assert_eq!(child.manifest["metadata"]["labels"]["recmesh.dev/recommender"], "movies", "{}", child.name());
        assert!(
            Kind::children(&Names::new("movies")).contains(&(child.kind, child.name().to_owned())),
            "{}",
            child.name()
        );
    }
}

#[test]
fn selectors_are_minimal_and_users_cannot_take_their_labels() {
    let deployment = deployment::build(&plan(), &settings()).manifest;
    let selector = json!({"recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "serving"});
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["recmesh.dev/recommender"], &labels["team"]), (&json!("movies"), &json!("web")));
    assert_eq!(deployment["spec"]["replicas"], 3);
}

#[test]
fn both_kinds_of_pods_meet_the_restricted_standard() {
    for manifest in [deployment::build(&plan(), &settings()).manifest, job()] {
        let pod = &manifest["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(
            *container,
            json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
        );
    }
}

#[test]
fn a_job_fails_at_once_on_what_trying_again_cannot_help() {
    let job = job();
    assert_eq!(job["metadata"]["name"], "movies-train-7");
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 3600);
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    // A disruption goes before everything else: a trainer that is killed with its node exits with 137, too.
    assert_eq!(rules[0]["onPodConditions"], json!([{"type": "DisruptionTarget", "status": "True"}]));
    assert_eq!(rules[1]["onExitCodes"]["values"], json!([2, 65, 66, 70, 71, 137]));
    assert_eq!((&rules[0]["action"], &rules[1]["action"]), (&json!("Ignore"), &json!("FailJob")));
    // Longer than the longest pause, so that a failure without a result is not forgotten before it is tried again.
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 7200);
    assert_eq!(job["metadata"]["labels"]["recmesh.dev/wanted"], decide::wanted(&plan()));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["envFrom"], json!([{"prefix": "RECMESH_SOURCE_", "secretRef": {"name": "shop-s3"}}]));
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "RECMESH_SOURCE_SECRET_NAME", "value": "shop-s3"})), "{env:?}");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
}

#[test]
fn a_store_of_the_users_is_opened_with_the_users_secret_or_the_pods_identity() {
    let secrets = StoreSecrets { train: ("a".into(), "b".into()), serve: ("c".into(), "d".into()) };
    let store_config = store();
    let volumes = |store: recommender_crds::StoreSpec| {
        let mut plan = plan();
        plan.spec.store = Some(store);
        assert!(prerequisites(&plan, &secrets).iter().all(|child| child.kind != Kind::Secret));
        let run = RunId { number: 7, attempt: "0123456789".into() };
        let config = decide::training_config(&plan, run, store_config.clone(), None);
        let job = training_job(&plan, &settings(), &config).manifest;
        let deployment = deployment::build(&plan, &settings()).manifest;
        [job, deployment].map(|manifest| {
            let pod = &manifest["spec"]["template"]["spec"];
            let named = |list: &Value| list.as_array().unwrap().iter().find(|v| v["name"] == "store").cloned();
            (named(&pod["volumes"]), named(&pod["containers"][0]["volumeMounts"]))
        })
    };
    let url = Some("s3://models".to_owned());
    let named = recommender_crds::StoreSpec {
        url: url.clone(),
        secret_ref: Some(recommender_crds::NameRef { name: "models-s3".into() }),
    };
    for (volume, mount) in volumes(named) {
        assert_eq!(volume, Some(json!({"name": "store", "secret": {"secretName": "models-s3"}})));
        assert_eq!(mount.unwrap()["readOnly"], json!(true));
    }
    assert_eq!(volumes(recommender_crds::StoreSpec { url, secret_ref: None }), [(None, None), (None, None)]);
}

#[test]
fn the_admin_port_is_for_operator_and_monitoring_only() {
    let policy = network_policy::build(&plan(), &settings()).manifest;
    let ingress = &policy["spec"]["ingress"];
    assert_eq!((&ingress[0]["ports"][0]["port"], &ingress[1]["ports"][0]["port"]), (&json!(8080), &json!(9090)));
    let namespaces = &ingress[1]["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*namespaces, json!(["recmesh-system"]));
}

#[test]
fn nothing_serves_before_there_is_a_model() {
    let secrets = StoreSecrets { train: ("a".into(), "b".into()), serve: ("c".into(), "d".into()) };
    let children = children(
        &plan(),
        &settings(),
        &secrets,
        &serving_config(&plan(), &decide::serving(&plan(), &[], None), None, store()),
    );
    assert!(!children.iter().any(|child| child.kind == Kind::Deployment));
}

#[test]
fn an_operator_upgrade_replaces_no_pods_unless_the_template_changes() {
    let annotation = |settings: &Settings| {
        deployment::build(&plan(), settings).annotation(crate::names::TEMPLATE_HASH_ANNOTATION).unwrap().to_owned()
    };
    // Another hash replaces all serving pods of everybody who upgrades. If that is meant, the changelog says so.
    assert_eq!(annotation(&settings()), "e1df333ddd");
    // What else the operator is told is not the pods' business.
    let told = Settings {
        namespace: "elsewhere".into(),
        pod_name: "recmesh-operator-7f".into(),
        store_endpoint: "http://other-store.elsewhere.svc:9000".into(),
        monitoring_namespaces: vec!["monitoring".into()],
        watch_namespaces: vec!["shop".into()],
        resync_seconds: 60,
        concurrency: 64,
        leader_election: true,
        ..settings()
    };
    assert_eq!(annotation(&told), annotation(&settings()));
    // The image of the sidecar is.
    let newer = Settings { sidecar_image: "sidecar:2".into(), ..settings() };
    assert_ne!(annotation(&newer), annotation(&settings()));
}

#[test]
fn an_operator_upgrade_tries_no_run_again() {
    let job = |settings: &Settings| {
        let run = RunId { number: 7, attempt: decide::attempt(&plan()) };
        training_job(&plan(), settings, &decide::training_config(&plan(), run, store(), None)).manifest
    };
    let newer = Settings { sidecar_image: "sidecar:2".into(), namespace: "elsewhere".into(), ..settings() };
    let (before, after) = (job(&settings()), job(&newer));
    assert_ne!(before, after, "the trainer's image is the new one");
    assert_eq!(before["metadata"]["labels"], after["metadata"]["labels"], "the attempt is the same");
}
