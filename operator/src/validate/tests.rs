//! Tests that the bounds of the schema equal those of the factorization, and that validation
//! reports all problems.

use factorization::params::bounds;
use recommender_crds::Recommender;
use sidecar_contract::{
    Algorithm, AlsConfig, AutoConfig, BprConfig,
    Signal::{Explicit, Implicit},
};

use super::*;

fn plan_of(yaml: &str) -> Result<Plan, Vec<String>> {
    let recommender: Recommender = serde_yaml_ng::from_str(yaml).unwrap();
    plan(&recommender, &BTreeMap::new())
}

#[test]
fn schema_bounds_equal_factorization_bounds() {
    let crd = serde_json::to_value(recommender_crds::crd()).unwrap();
    let algorithm =
        crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/algorithm/properties").unwrap();
    let (als, bpr) = (&algorithm["als"]["properties"], &algorithm["bpr"]["properties"]);
    let maximum = |field: &str| als[field]["maximum"].as_f64();
    assert_eq!(maximum("factors"), Some(f64::from(bounds::FACTORS_MAX)));
    assert_eq!(maximum("iterations"), Some(f64::from(bounds::ITERATIONS_MAX)));
    assert_eq!(maximum("regularization"), Some(bounds::REGULARIZATION_MAX));
    assert_eq!(maximum("regularizationExponent"), Some(bounds::REGULARIZATION_EXPONENT_MAX));
    assert_eq!(maximum("unobservedWeight"), Some(bounds::UNOBSERVED_WEIGHT_MAX));
    let samples = &als["sampling"]["properties"]["samples"];
    assert_eq!(samples["maximum"].as_f64(), Some(f64::from(bounds::SAMPLES_MAX)));
    assert_eq!(maximum("degreeExponent"), Some(bounds::DEGREE_EXPONENT_MAX));
    assert_eq!(maximum("popularityBoost"), Some(bounds::POPULARITY_BOOST_MAX));
    for with_term in ["als", "svd"] {
        let maximum = |field: &str| algorithm[with_term]["properties"][field]["maximum"].as_f64();
        assert_eq!(maximum("userDegreeExponent"), Some(bounds::DEGREE_EXPONENT_MAX));
        assert_eq!(maximum("coOccurrenceWeight"), Some(bounds::CO_OCCURRENCE_WEIGHT_MAX));
        assert_eq!(maximum("minUsersPerItem"), Some(f64::from(bounds::USERS_PER_ITEM_MIN_MAX)));
    }
    let rate = &bpr["learningRate"];
    assert_eq!(rate["minimum"].as_f64(), Some(bounds::LEARNING_RATE_MIN));
    assert_eq!(rate["maximum"].as_f64(), Some(bounds::LEARNING_RATE_MAX));
    assert_eq!(bpr["regularization"]["maximum"].as_f64(), Some(bounds::REGULARIZATION_MAX));
}

#[test]
fn every_parameter_of_the_schema_reaches_the_trainer() {
    let crd = serde_json::to_value(recommender_crds::crd()).unwrap();
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/algorithm/properties";
    let algorithms = crd.pointer(path).unwrap().as_object().unwrap();
    assert_eq!(algorithms.keys().collect::<Vec<_>>(), ["als", "auto", "bpr", "compose", "svd"]);
    let algorithm_of = |algorithm: &str, parameters: &str| {
        let yaml = format!(
            "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: a}}\nspec: {{data: {{source: {{url: 's3://x/y.csv'}}}}, \
             algorithm: {{{algorithm}: {parameters}}}}}\n"
        );
        plan_of(&yaml).unwrap().training.algorithm
    };
    // These two have no parameters of a fit.
    let is_fitted = |algorithm: &str| algorithm != "auto" && algorithm != "compose";
    // Valid for every parameter, and the default of none.
    let value = |schema: &serde_json::Value| if schema["type"] == "integer" { "7" } else { "0.25" };
    for (algorithm, schema) in algorithms.iter().filter(|(algorithm, _)| is_fitted(algorithm)) {
        for (parameter, schema) in schema["properties"].as_object().unwrap() {
            let (name, value, given) = match schema["properties"].as_object() {
                Some(group) => {
                    let (name, schema) = group.iter().next().unwrap();
                    (name, value(schema), format!("{{{name}: {}}}", value(schema)))
                }
                None => (parameter, value(schema), value(schema).to_owned()),
            };
            let parameters = algorithm_of(algorithm, &format!("{{{parameter}: {given}}}")).parameters();
            assert_eq!(
                parameters.get(name).map(ToString::to_string).as_deref(),
                Some(value),
                "{algorithm}.{parameter}"
            );
        }
    }
}

#[test]
fn auto_has_its_limits_and_those_of_the_memory() {
    let auto = |auto: &str, more: &str| {
        let yaml = format!(
            "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: a}}\n\
             spec: {{data: {{source: {{url: 's3://x/y.csv'}}}}, algorithm: {{auto: {auto}}}{more}}}\n"
        );
        let Algorithm::Auto(auto) = plan_of(&yaml).unwrap().training.algorithm else { panic!() };
        auto
    };
    assert_eq!(auto("{}", ""), AutoConfig::default());
    let resources = |memory: &str| format!("{{resources: {{limits: {{memory: {memory}}}}}}}");
    let limits = format!(", training: {}, serving: {}", resources("1Gi"), resources("612Mi"));
    let expected = AutoConfig {
        fits: 7,
        factors_max: 9,
        budget_seconds: 90,
        training_bytes_max: Some(1 << 30),
        // 612 MiB − 32 MiB of the process − 80 MiB in reserve = 500 MiB; a fifth is a margin.
        snapshot_bytes_max: Some(400 << 20),
    };
    assert_eq!(auto("{fits: 7, factorsMax: 9, budget: 1m30s}", &limits), expected);
}

#[test]
fn bpr_defaults_are_the_same_everywhere() {
    let yaml = "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {name: a}\n\
                spec: {data: {source: {url: 's3://x/y.csv'}}, algorithm: {bpr: {}}}\n";
    let plan = plan_of(yaml).unwrap();
    assert_eq!(plan.training.algorithm, Algorithm::Bpr(BprConfig::default()));
    let BprConfig { factors, iterations, learning_rate, regularization } = BprConfig::default();
    let library = factorization::BprParams { factors, iterations, learning_rate, regularization };
    assert_eq!(library, factorization::BprParams::default());
}

#[test]
fn als_defaults_depend_on_the_signal() {
    let als = |data: &str, als: &str| {
        let yaml = format!(
            "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: a}}\nspec: {{data: {{source: {{url: 's3://x/y.csv'}}{data}}}, \
             algorithm: {{als: {als}}}}}\n"
        );
        let plan = plan_of(&yaml).unwrap();
        let Algorithm::Als(als) = plan.training.algorithm else { panic!("{:?}", plan.training.algorithm) };
        als
    };
    assert_eq!(als("", "{}"), AlsConfig::defaults_for(Implicit));
    assert_eq!(als(", signal: explicit", "{}"), AlsConfig::defaults_for(Explicit));
    let given = als(", signal: explicit", "{regularization: 0.003}");
    assert_eq!(given, AlsConfig { regularization: Some(0.003), ..AlsConfig::defaults_for(Explicit) });
    // Without popularity debiasing there is no popularity boost.
    let given = als("", "{degreeExponent: 0, unobservedWeight: 0.1}");
    let expected = AlsConfig {
        degree_exponent: 0.0,
        popularity_boost: 0.0,
        unobserved_weight: 0.1,
        ..AlsConfig::defaults_for(Implicit)
    };
    assert_eq!(given, expected);
}

fn problems(spec: &str) -> String {
    let yaml = format!(
        "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: movies, namespace: shop}}\nspec: {spec}\n"
    );
    plan_of(&yaml).unwrap_err().join("; ")
}

#[test]
fn problems_name_the_field_and_the_expected_value() {
    let cases = [
        ("{data: {source: {}}}", "data.source: expected exactly one of url, configMap and persistentVolumeClaim"),
        ("{data: {source: {url: 'ftp://x/y'}}}", "data.source.url: \"ftp://x/y\"; expected s3://bucket/key.csv or"),
        (
            "{data: {source: {url: 's3://x/y.csv'}}, algorithm: {}}",
            "algorithm: expected exactly one of als, svd, bpr, auto and compose",
        ),
        ("{data: {source: {url: 's3://x/y.csv'}, csv: {delimiter: ab}}}", "data.csv.delimiter: \"ab\"; expected one"),
        (
            "{data: {source: {url: 's3://x/y.csv'}}, training: {deadline: soon}}",
            "training.deadline: \"soon\"; expected",
        ),
        (
            "{data: {source: {url: 's3://x/y.csv'}, halfLife: soon}}",
            "data.halfLife: \"soon\"; expected whole numbers with d or h",
        ),
    ];
    for (spec, part) in cases {
        let message = problems(spec);
        assert!(message.contains(part), "{spec}: {message:?} lacks {part:?}");
    }
    // All problems are reported at once.
    let message = problems("{data: {source: {}}, algorithm: {}}");
    assert!(message.contains("data.source") && message.contains("algorithm: expected"), "{message}");
}

#[test]
fn a_name_conflict_rejects_a_valid_spec_only() {
    let recommender = |source: &str| {
        let yaml = format!(
            "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: movies}}\nspec: {{data: {{source: {source}}}}}\n"
        );
        serde_yaml_ng::from_str::<Recommender>(&yaml).unwrap()
    };
    let observed = Observed { name_conflicts: vec![(ChildKind::Service, "movies".to_owned())], ..Observed::nothing() };
    let rejection = validate(&recommender("{url: 's3://x/y.csv'}"), &observed).unwrap_err();
    assert_eq!(rejection, Rejection::NameConflict(vec!["Service movies".to_owned()]));
    assert!(rejection.message().contains("already exist: Service movies; delete them"), "{}", rejection.message());
    let rejection = validate(&recommender("{}"), &observed).unwrap_err();
    assert_eq!(rejection.reason(), Reason::InvalidSpec);
    assert!(validate(&recommender("{url: 's3://x/y.csv'}"), &Observed::nothing()).is_ok());
}

#[test]
fn the_name_of_a_child_that_is_not_needed_may_belong_to_another_object() {
    let names = |spec: &str, kind| {
        let yaml =
            format!("apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: movies}}\nspec: {spec}\n");
        let recommender: Recommender = serde_yaml_ng::from_str(&yaml).unwrap();
        let observed = Observed { name_conflicts: vec![(kind, "movies".to_owned())], ..Observed::nothing() };
        validate(&recommender, &observed).is_ok()
    };
    let own = "{data: {source: {url: 's3://x/y.csv'}}}";
    let both = "{data: {source: {url: 's3://x/y.csv'}}, training: {serviceAccountName: movies}, serving: {serviceAccountName: movies}, \
                 store: {url: 's3://models/', secretRef: {name: models}}}";
    for kind in [ChildKind::ServiceAccount, ChildKind::Secret] {
        assert!(!names(own, kind), "{kind:?}");
        assert!(names(both, kind), "{kind:?}");
    }
    assert!(!names(both, ChildKind::Service));
}
