//! Tests of the builders with a minimal resource: properties that other objects and tools rely on.

use std::collections::BTreeMap;

use clap::Parser;
use recommender_crds::{Recommender, RecommenderStatus};
use serde_json::{Value, json};
use sidecar_contract::{Digest, RunResult};

use super::*;
use crate::{
    args::{Cli, Command, IdentityArgs, Settings},
    child_kind::ChildKind,
    decide::{self, TrainingDecision},
    identity::TrustDomain,
    installation::StoreRoot,
    names::{FINALIZER, Names, TEMPLATE_HASH_ANNOTATION},
    observed::{DeploymentFacts, JobFacts, JobState},
    validate,
};

fn plan() -> Plan {
    let yaml = "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies, namespace: shop, uid: u-1, generation: 1}
spec:
  data: {source: {url: 's3://shop/ratings.csv', secretRef: {name: shop-s3}}}
  serving: {replicas: 3, labels: {team: web, recmesh.dev/recommender: other}}
";
    plan_of(yaml)
}

fn plan_of(yaml: &str) -> Plan {
    let recommender: Recommender = serde_yaml_ng::from_str(yaml).unwrap();
    validate::plan(&recommender, &BTreeMap::new()).unwrap()
}

pub(super) fn settings() -> Settings {
    let arguments = [
        "recmesh-operator",
        "run",
        "--namespace=recmesh-system",
        "--sidecar-image=sidecar:1",
        "--store-endpoint=http://store:9000",
    ];
    match Cli::parse_from(arguments).command {
        Command::Run(settings) => settings,
        Command::Report(_) | Command::Inject(_) | Command::Check { .. } => {
            unreachable!("the arguments contain the subcommand run")
        }
    }
}

fn installation_with(settings: Settings) -> Installation {
    Installation { settings, root: StoreRoot { key: vec![7; 32], installation_id: "1b2c".to_owned() } }
}

fn installation() -> Installation {
    installation_with(settings())
}

fn decision(plan: &Plan, observed: &Observed) -> Decision {
    decide::decide(plan, observed, &RecommenderStatus::default(), (&settings()).into(), 1000)
}

fn desired_for(plan: &Plan, observed: &Observed) -> Desired {
    desired(plan, &decision(plan, observed), observed, &installation())
}

/// The Job of run 1.
fn job_for(plan: &Plan, settings: Settings) -> Value {
    let observed = Observed::nothing();
    match desired(plan, &decision(plan, &observed), &observed, &installation_with(settings)).job {
        JobChange::Create { job, .. } => job.manifest,
        other => panic!("{other:?}"),
    }
}

fn job() -> Value {
    job_for(&plan(), settings())
}

/// A run that trained a model of this plan.
fn trained(plan: &Plan, number: u32, content: &str) -> RunResult {
    serde_json::from_value(json!({
        "version": 1, "run": {"number": number, "attempt": plan.hashes.attempt}, "configHash": plan.hashes.config,
        "dataVersion": "v1", "startedAt": 1, "finishedAt": 2,
        "outcome": {
            "kind": "trained", "digest": Digest::of(content.as_bytes()), "snapshotBytes": 9, "algorithm": "als",
            "users": 3, "items": 4, "interactions": 5,
        },
    }))
    .unwrap()
}

fn after_runs(runs: &[RunResult]) -> Observed {
    Observed { runs: Ok(runs.to_vec()), ..Observed::nothing() }
}

/// All children of these desired writes.
fn children(desired: Desired) -> Vec<Child> {
    // Without `..`, so that a new kind of child is tested.
    let Desired {
        finalizers: _,
        service_account,
        train_secret,
        serve_secret,
        job,
        batch,
        catalogue,
        network_policy,
        service,
        headless_service,
        disruption_budget,
        rollout,
        garbage: _,
        obsolete_jobs: _,
        pruned: _,
    } = desired;
    let mut children = vec![network_policy, service, headless_service, disruption_budget];
    children.extend(service_account.into_iter().chain(train_secret).chain(serve_secret));
    if let JobChange::Create { job, .. } = job {
        children.push(job);
    }
    for task in [batch, catalogue] {
        if let TaskChange::Create(job) = task {
            children.push(job);
        }
    }
    if let Some(Rollout { next: Release { config_map, deployment }, while_queued: _ }) = rollout {
        children.push(config_map);
        if let DeploymentChange::Apply(deployment) = deployment {
            children.push(deployment);
        }
    }
    children
}

#[test]
fn the_names_of_both_services_resolve_to_ready_pods_only() {
    let Desired { service, headless_service, .. } = desired_for(&plan(), &Observed::nothing());
    for (child, name, cluster_ip) in
        [(service, "movies", json!(null)), (headless_service, "movies-pods", json!("None"))]
    {
        let (meta, spec) = (&child.manifest["metadata"], &child.manifest["spec"]);
        assert_eq!((&meta["name"], &spec["clusterIP"]), (&json!(name), &cluster_ip));
        assert!(spec["publishNotReadyAddresses"].is_null(), "{spec}");
        assert_eq!((&spec["ports"][0]["port"], &spec["ports"][0]["name"]), (&json!(8080), &json!("http")));
    }
}

#[test]
fn every_child_is_owned_and_labelled() {
    // A model serves, and a run for a newer spec is due: all kinds of children exist.
    let earlier = plan_of(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {name: movies, namespace: shop, uid: u-1, generation: 1}
spec: {data: {source: {url: 's3://shop/earlier.csv'}}}
",
    );
    let children = children(desired_for(&plan(), &after_runs(&[trained(&earlier, 1, "a")])));
    for kind in ChildKind::ALL {
        assert!(children.iter().any(|child| child.kind == kind), "no {} is built", kind.as_str());
    }
    let permanent = ChildKind::children(&Names::new("movies"));
    for child in &children {
        let name = format!("{} {}", child.kind.as_str(), child.name());
        let metadata = &child.manifest["metadata"];
        let owner = &metadata["ownerReferences"][0];
        assert_eq!((&owner["uid"], &owner["controller"]), (&json!("u-1"), &json!(true)), "{name}");
        let expected = ["trainer", "serving"].map(|component| {
            let mut expected = json!({
                "app.kubernetes.io/name": "recommender",
                "app.kubernetes.io/instance": "movies",
                "app.kubernetes.io/part-of": "recmesh",
                "app.kubernetes.io/managed-by": "recmesh-operator",
                "recmesh.dev/recommender": "movies",
            });
            expected["app.kubernetes.io/component"] = json!(component);
            expected
        });
        let labels = metadata["labels"].as_object().unwrap();
        assert!(
            expected.iter().any(|expected| expected.as_object().unwrap().iter().all(|(k, v)| labels.get(k) == Some(v))),
            "{name}: {labels:?}"
        );
        let key = (child.kind, child.name().to_owned());
        assert_eq!(permanent.contains(&key), child.kind != ChildKind::Job, "{name}");
    }
    assert_eq!(children.len(), permanent.len() + 1, "every permanent child, and the Job");
}

#[test]
fn selectors_are_minimal_and_users_cannot_override_their_labels() {
    let deployment = deployment::build(&plan(), &settings()).manifest;
    let selector = json!({"recmesh.dev/recommender": "movies", "app.kubernetes.io/component": "serving"});
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["recmesh.dev/recommender"], &labels["team"]), (&json!("movies"), &json!("web")));
    assert_eq!(deployment["spec"]["replicas"], 3);
}

#[test]
fn all_pods_meet_the_restricted_pod_security_standard() {
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
fn a_job_fails_immediately_on_permanent_errors() {
    let job = job();
    assert_eq!(job["metadata"]["name"], "movies-train-1");
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 3600);
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    // The disruption rule comes first, because a trainer that is killed with its node also exits
    // with 137.
    assert_eq!(rules[0]["onPodConditions"], json!([{"type": "DisruptionTarget", "status": "True"}]));
    assert_eq!(rules[1]["onExitCodes"]["values"], json!([2, 65, 66, 70, 71, 137]));
    assert_eq!((&rules[0]["action"], &rules[1]["action"]), (&json!("Ignore"), &json!("FailJob")));
    // Longer than the maximum retry delay, so that the Job of a failure without a result exists
    // until the retry.
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 7200);
    assert_eq!(job["metadata"]["labels"]["recmesh.dev/spec-hash"], plan().hashes.spec);
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["envFrom"], json!([{"prefix": "RECMESH_SOURCE_", "secretRef": {"name": "shop-s3"}}]));
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "RECMESH_SOURCE_SECRET_NAME", "value": "shop-s3"})), "{env:?}");
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
}

#[test]
fn a_user_store_is_accessed_with_the_users_secret_or_the_pods_identity() {
    let volumes = |store: recommender_crds::StoreSpec| {
        let mut plan = plan();
        plan.workload.spec.store = Some(store);
        let job = job_for(&plan, settings());
        let deployment = deployment::build(&plan, &settings()).manifest;
        let children = children(desired_for(&plan, &Observed::nothing()));
        assert!(children.iter().all(|child| child.kind != ChildKind::Secret));
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
fn the_admin_port_is_open_to_operator_and_monitoring_only() {
    let policy = network_policy::build(&plan(), &settings()).manifest;
    let ingress = &policy["spec"]["ingress"];
    assert_eq!((&ingress[0]["ports"][0]["port"], &ingress[1]["ports"][0]["port"]), (&json!(8080), &json!(9090)));
    let namespaces = &ingress[1]["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*namespaces, json!(["recmesh-system"]));
}

fn with_identity(plan: &Plan) -> (Settings, [Value; 3]) {
    let identity = IdentityArgs {
        identity_signer: "recmesh.dev/recmesh".to_owned(),
        trust_domain: TrustDomain::parse("films.example").unwrap(),
        identity_guard: "guard".to_owned(),
        identity_issuer_secret: None,
    };
    let settings = Settings { identity: Some(identity), ..settings() };
    let manifests = [
        deployment::build(plan, &settings).manifest,
        network_policy::build(plan, &settings).manifest,
        services::headless(plan, &settings).manifest,
    ];
    (settings, manifests)
}

#[test]
fn serving_pods_have_a_certificate_where_the_installation_signs_and_the_spec_wants_it() {
    let (_, [deployment, policy, service]) = with_identity(&plan());
    let pod = &deployment["spec"]["template"]["spec"];
    let args = pod["containers"][0]["args"].as_array().unwrap();
    for argument in [
        "--credentials=/var/run/recmesh/identity/credentials.pem",
        "--anchors=/var/run/recmesh/anchors/anchors.pem",
        "--mesh-port=8443",
    ] {
        assert!(args.contains(&json!(argument)), "{args:?}");
    }
    let volume = |name: &str| pod["volumes"].as_array().unwrap().iter().find(|v| v["name"] == name).cloned().unwrap();
    assert_eq!(
        volume("certificate")["projected"]["sources"],
        json!([{"podCertificate": {
            "signerName": "recmesh.dev/recmesh", "keyType": "ECDSAP256", "credentialBundlePath": "credentials.pem",
        }}])
    );
    assert_eq!(
        volume("anchors")["projected"]["sources"],
        json!([{"clusterTrustBundle": {
            "signerName": "recmesh.dev/recmesh", "labelSelector": {"matchLabels": {"recmesh.dev/anchors": "true"}},
            "path": "anchors.pem",
        }}])
    );
    assert_eq!(
        policy["spec"]["ingress"][2],
        json!({"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 8443}]})
    );
    assert_eq!(service["spec"]["ports"][2]["port"], 8443);
    // By choice of the spec, none.
    let mut without = plan();
    without.workload.spec.access = serde_json::from_value(json!({"identity": "None"})).unwrap();
    let (_, manifests) = with_identity(&without);
    let plain = [
        deployment::build(&plan(), &settings()).manifest,
        network_policy::build(&plan(), &settings()).manifest,
        services::headless(&plan(), &settings()).manifest,
    ];
    assert_eq!(manifests, plain);
}

#[test]
fn access_opens_the_ports_to_whom_it_names_only() {
    let ports = |access: Value| {
        let manifest = format!(
            "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: movies, namespace: shop, uid: u-1, generation: 1}}
spec: {{data: {{source: {{url: 's3://shop/a.csv'}}}}, access: {access}}}
"
        );
        let (_, [_, policy, _]) = with_identity(&plan_of(&manifest));
        let ingress = policy["spec"]["ingress"].as_array().unwrap().clone();
        ingress
            .iter()
            .map(|rule| (rule["ports"][0]["port"].as_u64().unwrap(), rule["from"].clone()))
            .collect::<Vec<_>>()
    };
    let numbers = |rules: &[(u64, Value)]| rules.iter().map(|(port, _)| *port).collect::<Vec<_>>();
    assert_eq!(numbers(&ports(json!({}))), [8080, 9090, 8443]);
    assert_eq!(numbers(&ports(json!({"plaintext": "Never"}))), [9090, 8443]);
    assert_eq!(numbers(&ports(json!({"allow": []}))), [8080, 9090], "a rule without peers would admit all");
    let named = ports(json!({"plaintext": "Never", "allow": [
        {"namespace": "web", "serviceAccount": "a"}, {"namespace": "web", "serviceAccount": "b"}, {"namespace": "app"},
    ]}));
    let expected = json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["app", "web"]},
    ]}}]);
    assert_eq!(named[1], (8443, expected));
}

#[test]
fn no_deployment_exists_before_the_first_model() {
    let children = children(desired_for(&plan(), &Observed::nothing()));
    assert!(!children.iter().any(|child| child.kind == ChildKind::Deployment));
}

#[test]
fn an_operator_upgrade_replaces_pods_only_if_the_template_changes() {
    let annotation = |settings: &Settings| {
        deployment::build(&plan(), settings).annotation(TEMPLATE_HASH_ANNOTATION).unwrap().to_owned()
    };
    // Another hash replaces all serving pods at the upgrade. An intended change must be listed in
    // the changelog.
    assert_eq!(annotation(&settings()), "f5f8b9676a");
    // Settings that do not affect the pods.
    let other = Settings {
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
    assert_eq!(annotation(&other), annotation(&settings()));
    // The image of the sidecar affects them.
    let newer = Settings { sidecar_image: "sidecar:2".into(), ..settings() };
    assert_ne!(annotation(&newer), annotation(&settings()));
}

#[test]
fn an_operator_upgrade_retries_no_run() {
    let newer = Settings { sidecar_image: "sidecar:2".into(), namespace: "elsewhere".into(), ..settings() };
    let (before, after) = (job(), job_for(&plan(), newer));
    assert_ne!(before, after, "the image of the trainer differs");
    assert_eq!(before["metadata"]["labels"], after["metadata"]["labels"], "the attempt is the same");
}

/// The facts of a Deployment with the current template and `replicas` pods in its spec.
fn deployment_with(replicas: i32) -> DeploymentFacts {
    let template_hash =
        deployment::build(&plan(), &settings()).annotation(TEMPLATE_HASH_ANNOTATION).unwrap().to_owned();
    DeploymentFacts { desired: replicas, template_hash, ..DeploymentFacts::default() }
}

/// The state after the model `a` was rolled out.
fn serving_a(plan: &Plan) -> Observed {
    let runs = [trained(plan, 1, "a")];
    let store = plan.store_scope().config(&installation());
    let config = serving_config(plan, &decision(plan, &after_runs(&runs)).serving, store);
    Observed { config: Some(config), deployment: Some(deployment_with(3)), ..after_runs(&runs) }
}

#[test]
fn a_rollout_needs_a_slot_if_the_template_or_the_revision_changes() {
    let plan = plan();
    let rollout = |observed: &Observed| desired_for(&plan, observed).rollout.unwrap();
    let unchanged = serving_a(&plan);
    assert_eq!(rollout(&unchanged).while_queued, None);

    let mut other_template = unchanged.clone();
    other_template.deployment.as_mut().unwrap().template_hash = "0123456789".to_owned();
    let while_queued = rollout(&other_template).while_queued.unwrap();
    assert_eq!(while_queued.config_map, rollout(&unchanged).next.config_map);
    assert_eq!(while_queued.deployment, DeploymentChange::None, "the template stays");

    let newer = Observed { runs: Ok(vec![trained(&plan, 1, "a"), trained(&plan, 2, "b")]), ..unchanged.clone() };
    let Rollout { next, while_queued } = rollout(&newer);
    assert_eq!(while_queued.unwrap().config_map, rollout(&unchanged).next.config_map, "the revision stays");
    assert_ne!(next.config_map, rollout(&unchanged).next.config_map);

    let mut scaled = newer.clone();
    scaled.deployment.as_mut().unwrap().desired = 1;
    assert_eq!(rollout(&scaled).while_queued.unwrap().deployment, DeploymentChange::Scale { replicas: 3 });
    let created = Observed { deployment: None, ..newer };
    assert_eq!(rollout(&created).while_queued, None, "the first pods disturb none");
}

#[test]
fn nothing_is_rolled_out_while_neither_runs_nor_config_are_known() {
    let unknown = Observed { runs: Err("the store is down".to_owned()), ..Observed::nothing() };
    let desired = desired_for(&plan(), &unknown);
    assert_eq!((desired.rollout, desired.job), (None, JobChange::None));
    let in_force = Observed { runs: Err("the store is down".to_owned()), ..serving_a(&plan()) };
    let desired = desired_for(&plan(), &in_force);
    assert_eq!(desired.rollout, desired_for(&plan(), &serving_a(&plan())).rollout);
}

#[test]
fn an_outdated_job_is_deleted_once() {
    let plan = plan();
    let outdated = |deleted: bool| {
        let job = JobFacts {
            name: "movies-train-1".to_owned(),
            run: 1,
            attempt: plan.hashes.attempt.clone(),
            spec_hash: "0123456789".to_owned(),
            deleted,
            state: JobState::Running,
            finished_at: 0,
            reason: String::new(),
            message: String::new(),
            ..JobFacts::default()
        };
        Observed { jobs: vec![job], ..Observed::nothing() }
    };
    let replace = TrainingDecision::Replace { job: "movies-train-1".to_owned() };
    assert_eq!(decision(&plan, &outdated(false)).training, replace);
    assert_eq!(desired_for(&plan, &outdated(false)).job, JobChange::Delete { name: "movies-train-1".to_owned() });
    assert_eq!(desired_for(&plan, &outdated(true)).job, JobChange::Keep);
}

#[test]
fn the_finalizer_follows_the_deletion_policy() {
    use recommender_crds::DeletionPolicy::{Delete, Retain};
    let (ours, other) = (FINALIZER.to_owned(), "example.com/other".to_owned());
    for (finalizers, policy, expected) in [
        (vec![], Retain, None),
        (vec![other.clone()], Delete, Some(vec![other.clone(), ours.clone()])),
        (vec![ours.clone()], Delete, None),
        (vec![ours, other.clone()], Retain, Some(vec![other])),
    ] {
        assert_eq!(finalizer::change(&finalizers, policy), expected, "{finalizers:?} {policy:?}");
    }
}

/// A plan with these settings of the pods.
fn plan_with_pods(training: &str, serving: &str) -> Plan {
    plan_of(&format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: movies, namespace: shop, uid: u-1, generation: 1}}
spec:
  data: {{source: {{url: 's3://shop/ratings.csv'}}}}
  training: {{{training}}}
  serving: {{{serving}}}
"
    ))
}

/// Resources of the serving container.
fn serving_resources(resources: &str) -> Value {
    let plan = plan_with_pods("", resources);
    deployment::build(&plan, &settings()).manifest["spec"]["template"]["spec"]["containers"][0]["resources"].clone()
}

#[test]
fn resources_that_the_user_does_not_mention_keep_their_default_request() {
    let defaults = json!({"requests": {"cpu": "50m", "memory": "64Mi"}});
    assert_eq!(serving_resources(""), defaults);
    assert_eq!(serving_resources("resources: {}"), defaults);
    // The API server requests what is limited; a default above the limit would be rejected.
    assert_eq!(
        serving_resources("resources: {limits: {memory: 32Mi}}"),
        json!({"requests": {"cpu": "50m"}, "limits": {"memory": "32Mi"}})
    );
    assert_eq!(
        serving_resources("resources: {requests: {memory: 1Gi, nvidia.com/gpu: 1}, limits: {cpu: 2}}"),
        json!({"requests": {"memory": "1Gi", "nvidia.com/gpu": "1"}, "limits": {"cpu": "2"}})
    );
}

#[test]
fn named_service_accounts_replace_the_own_one() {
    let named = |training: &str, serving: &str| {
        let plan = plan_with_pods(training, serving);
        desired_for(&plan, &Observed::nothing()).service_account.is_some()
    };
    let name = "serviceAccountName: movies";
    assert!(named("", ""));
    assert!(named(name, "") && named("", name), "one pod still needs it");
    assert!(!named(name, name));
}

/// Pod specs of the trainer and of the serving pods.
fn pod_specs(settings: &Settings) -> [Value; 2] {
    let deployment = deployment::build(&plan(), settings).manifest;
    [deployment, job_for(&plan(), settings.clone())].map(|child| child["spec"]["template"]["spec"].clone())
}

#[test]
fn user_ids_are_left_to_the_cluster_on_request() {
    for spec in pod_specs(&settings()) {
        assert_eq!(
            (&spec["securityContext"]["runAsUser"], &spec["securityContext"]["fsGroup"]),
            (&json!(65532), &json!(65532))
        );
    }
    for spec in pod_specs(&Settings { fixed_user_ids: false, ..settings() }) {
        assert_eq!(
            spec["securityContext"],
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
        );
    }
}

#[test]
fn temporary_files_are_limited() {
    for spec in pod_specs(&Settings { ephemeral_storage_max: "5Gi".to_owned(), ..settings() }) {
        let volumes = spec["volumes"].as_array().unwrap();
        let temporary: Vec<&Value> = volumes.iter().filter_map(|volume| volume.get("emptyDir")).collect();
        assert!(!temporary.is_empty());
        assert!(temporary.iter().all(|volume| **volume == json!({"sizeLimit": "5Gi"})), "{temporary:?}");
    }
}

#[test]
fn scrape_annotations_can_be_omitted() {
    let annotations = |settings: &Settings| {
        deployment::build(&plan(), settings).manifest["spec"]["template"]["metadata"]["annotations"].clone()
    };
    assert_eq!(annotations(&settings())["prometheus.io/scrape"], "true");
    assert_eq!(annotations(&Settings { scrape_annotations: false, ..settings() }), json!({}));
}
