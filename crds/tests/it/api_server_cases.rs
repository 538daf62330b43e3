//! Valid and invalid resources on a real API server.

use serde_json::Value;

use crate::{
    api_server::{self, ApiServer},
    generated::{examples, files, package},
};

fn recommender(name: &str, spec: &str) -> String {
    format!("apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

type Case = fn(&ApiServer);

/// One test with several cases: they share one server, which has to stop at the end.
#[test]
fn resources_on_a_real_api_server() {
    let api = api_server::start();
    let cases: [(&str, Case); 7] = [
        ("bad_resources_are_rejected_with_a_message", bad_resources_are_rejected_with_a_message),
        ("examples_are_accepted", examples_are_accepted),
        ("apply_without_replicas_keeps_the_scaled_value", apply_without_replicas_keeps_the_scaled_value),
        ("valid_resources_are_accepted", valid_resources_are_accepted),
        (
            "the_server_stores_defaults_and_an_unobserved_generation",
            the_server_stores_defaults_and_an_unobserved_generation,
        ),
        (
            "a_new_source_replaces_the_old_one_in_every_apply_mode",
            a_new_source_replaces_the_old_one_in_every_apply_mode,
        ),
        ("every_field_is_explained", every_field_is_explained),
    ];
    for (name, case) in cases {
        println!("{name}");
        case(&api);
    }
}

fn bad_resources_are_rejected_with_a_message(api: &ApiServer) {
    let bad = files(&package().join("tests/bad"));
    assert!(bad.len() >= 15);
    for file in bad {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("# expected: ");
        let result = api.kubectl(&["create", "--dry-run=server", "-f", file.to_str().unwrap()]);
        let message = result.expect_err(&format!("{} is accepted", file.display()));
        assert!(message.contains(expected), "{}: expected {expected:?} in {message}", file.display());
    }
}

fn examples_are_accepted(api: &ApiServer) {
    let suggested = files(&package().join("tests/suggested"));
    for file in examples().into_iter().chain(suggested) {
        let namespace = format!("example-{}", file.file_stem().unwrap().to_str().unwrap());
        api.kubectl(&["create", "namespace", &namespace]).unwrap();
        // With the strictest pod security level and strict field validation.
        let level = "pod-security.kubernetes.io/enforce=restricted";
        api.kubectl(&["label", "namespace", &namespace, level]).unwrap();
        let apply = ["apply", "--server-side", "--validate=strict", "--namespace", &namespace, "-f"];
        let output = api.kubectl(&[&apply[..], &[file.to_str().unwrap()]].concat()).unwrap();
        assert!(output.contains("recommender.recmesh.dev/"), "{}: {output}", file.display());
    }
}

fn apply_without_replicas_keeps_the_scaled_value(api: &ApiServer) {
    let yaml = |factors: u32| {
        recommender(
            "scaled",
            &format!("{{data: {{source: {{url: 's3://a/b.csv'}}}}, algorithm: {{als: {{factors: {factors}}}}}}}"),
        )
    };
    let replicas = || api.kubectl(&["get", "rcmd", "scaled", "-o", "jsonpath={.spec.serving.replicas}"]).unwrap();
    api.with_yaml(&["apply", "--server-side"], &yaml(8)).unwrap();
    assert_eq!(replicas(), "1");
    // Like an autoscaler: by the scale subresource, as a different field manager.
    api.kubectl(&["scale", "recommender", "scaled", "--replicas=3"]).unwrap();
    for mode in ["--server-side=true", "--server-side=false"] {
        api.with_yaml(&["apply", mode], &yaml(16)).unwrap();
        assert_eq!(replicas(), "3", "{mode}: a manifest without replicas does not change them");
    }
    let scale =
        api.kubectl(&["get", "--raw", "/apis/recmesh.dev/v1alpha1/namespaces/default/recommenders/scaled/scale"]);
    let scale: Value = serde_json::from_str(&scale.unwrap()).unwrap();
    assert_eq!(scale["spec"]["replicas"], 3);
}

fn valid_resources_are_accepted(api: &ApiServer) {
    let specs = [
        "{data: {source: {configMap: {name: a, key: r.csv}}}, training: {schedule: '*/15 0-6,22 1-31/2 jan,JUL Mon-fri', \
         timeZone: America/Argentina/Buenos_Aires, startingDeadline: 6h, dataCheckInterval: 0s}}",
        "{data: {source: {url: 's3://shop/a/ratings'}, format: tsv, csv: {delimiter: \"\\t\"}}}",
        "{data: {source: {url: 's3://shop/r.csv'}, csv: {header: false}, columns: {user: 0, item: 1, rating: 2}}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, algorithm: {als: {regularization: 0}}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}, signal: explicit}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}, columns: {event: what}, eventWeights: {view: 1, cart: 2.5, hide: -3}, \
         halfLife: 1d12h, weighting: bm25}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, training: {tuning: {}}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, evaluation: {split: leaveLastOut}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, evaluation: {split: userHoldout, holdout: 0.5}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, training: {tuning: {trials: 2, budget: 168h}}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}, signal: explicit}, algorithm: {als: {regularization: 0.2}}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, serving: {replicas: 0, resources: {requests: {cpu: 1, memory: \
         0.5Gi}, limits: {cpu: '1.5', nvidia.com/gpu: 1}}, tolerations: [{operator: Exists}, {key: a, value: b}]}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, training: {deadline: 1h30m, labels: {team: shop}, \
         annotations: {linkerd.io/inject: enabled}, nodeSelector: {kubernetes.io/os: linux}, imagePullSecrets: [{name: r}]}}",
        "{data: {source: {configMap: {name: a, key: r.csv}}}, serving: {allowFrom: [{ipBlock: {cidr: 10.0.0.0/8}}, \
         {podSelector: {}, namespaceSelector: {matchLabels: {a: b}}}]}}",
    ];
    for spec in specs {
        api.with_yaml(&["create", "--dry-run=server"], &recommender("valid", spec)).expect(spec);
    }
}

fn the_server_stores_defaults_and_an_unobserved_generation(api: &ApiServer) {
    let yaml = recommender("defaults", "{data: {source: {url: 's3://a/b.csv'}}, algorithm: {als: {factors: 8}}}");
    api.with_yaml(&["create"], &yaml).unwrap();
    let stored: Value =
        serde_json::from_str(&api.kubectl(&["get", "rcmd", "defaults", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(stored["status"]["observedGeneration"], -1);
    assert_eq!(stored["spec"]["algorithm"]["als"]["iterations"], 15);
    assert_eq!(stored["spec"]["algorithm"]["als"]["factors"], 8);
    assert_eq!(stored["spec"]["data"]["columns"]["user"], "user_id");
    assert_eq!(stored["spec"]["evaluation"]["gate"]["minLiftOverBaseline"].as_f64(), Some(0.0));
    // The stored defaults equal the defaults of the types.
    let ours: recommender_crds::Recommender = serde_yaml_ng::from_str(&yaml).unwrap();
    let parsed: recommender_crds::Recommender = serde_json::from_value(stored).unwrap();
    assert_eq!(parsed.spec, ours.spec);

    api.kubectl(&["scale", "recommender", "defaults", "--replicas=3"]).unwrap();
    let replicas = api.kubectl(&["get", "rcmd", "defaults", "-o", "jsonpath={.spec.serving.replicas}"]).unwrap();
    assert_eq!(replicas, "3");
    let header = api.kubectl(&["get", "rcmd", "defaults", "-o", "wide"]).unwrap();
    let columns: Vec<&str> = header.lines().next().unwrap().split_whitespace().collect();
    let expected =
        ["NAME", "READY", "REASON", "REVISION", "ALGORITHM", "METRIC", "RUN", "REPLICAS", "AGE", "MESSAGE", "URL"];
    assert_eq!(columns, expected);
}

fn a_new_source_replaces_the_old_one_in_every_apply_mode(api: &ApiServer) {
    for (name, mode) in [("client", "--server-side=false"), ("server", "--server-side=true")] {
        for spec in [
            "{data: {source: {configMap: {name: a, key: r.csv}}}, algorithm: {als: {factors: 8}}}",
            "{data: {source: {url: 's3://a/b.csv'}}, algorithm: {als: {iterations: 3}}}",
            "{data: {source: {persistentVolumeClaim: {claimName: a, path: b.csv}}}}",
        ] {
            api.with_yaml(&["apply", mode], &recommender(name, spec)).expect(spec);
        }
    }
}

fn every_field_is_explained(api: &ApiServer) {
    let text = api.kubectl(&["explain", "recommender.spec", "--recursive"]).unwrap();
    for field in ["data", "source", "als", "minLiftOverBaseline", "tolerations", "revisionHistoryLimit"] {
        assert!(text.contains(field), "{field} in {text}");
    }
    let text = api.kubectl(&["explain", "recommender.spec.training.deadline"]).unwrap();
    assert!(text.contains("1h30m"), "{text}");
}
