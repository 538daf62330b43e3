//! The schema's bounds are the mathematics' bounds, and what slips past the schema is named.

use factorization::params::bounds;
use recommender_crds::Recommender;

use super::*;
use sidecar_contract::Signal::{Explicit, Implicit};

#[test]
fn the_schema_and_the_mathematics_agree_on_bounds() {
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
    assert_eq!(maximum("degreeReturn"), Some(bounds::DEGREE_RETURN_MAX));
    let rate = &bpr["learningRate"];
    assert_eq!(rate["minimum"].as_f64(), Some(bounds::LEARNING_RATE_MIN));
    assert_eq!(rate["maximum"].as_f64(), Some(bounds::LEARNING_RATE_MAX));
    assert_eq!(bpr["regularization"]["maximum"].as_f64(), Some(bounds::REGULARIZATION_MAX));
}

#[test]
fn pairs_have_one_set_of_defaults() {
    let yaml = "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {name: a}\n\
                spec: {data: {source: {url: 's3://x/y.csv'}}, algorithm: {bpr: {}}}\n";
    let plan = validate(&serde_yaml_ng::from_str(yaml).unwrap()).unwrap();
    assert_eq!(plan.training.algorithm, Algorithm::Bpr(BprConfig::default()));
    let BprConfig { factors, iterations, learning_rate, regularization } = BprConfig::default();
    let theirs = factorization::BprParams { factors, iterations, learning_rate, regularization };
    assert_eq!(theirs, factorization::BprParams::default());
}

#[test]
fn parameters_of_als_follow_the_signal_where_nobody_names_them() {
    let als = |data: &str, als: &str| {
        let yaml = format!(
            "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: a}}\nspec: {{data: {{source: {{url: 's3://x/y.csv'}}{data}}}, \
             algorithm: {{als: {als}}}}}\n"
        );
        let plan = validate(&serde_yaml_ng::from_str(&yaml).unwrap()).unwrap();
        let Algorithm::Als(als) = plan.training.algorithm else { panic!("{:?}", plan.training.algorithm) };
        als
    };
    assert_eq!(als("", "{}"), AlsConfig::usual(Implicit));
    assert_eq!(als(", signal: explicit", "{}"), AlsConfig::usual(Explicit));
    let given = als(", signal: explicit", "{regularization: 0.003}");
    assert_eq!(given, AlsConfig { regularization: Some(0.003), ..AlsConfig::usual(Explicit) });
    // Nothing is given back where nothing is taken off.
    let given = als("", "{degreeExponent: 0, unobservedWeight: 0.1}");
    let expected =
        AlsConfig { degree_exponent: 0.0, degree_return: 0.0, unobserved_weight: 0.1, ..AlsConfig::usual(Implicit) };
    assert_eq!(given, expected);
}

fn problems(spec: &str) -> String {
    let yaml = format!(
        "apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata: {{name: movies, namespace: shop}}\nspec: {spec}\n"
    );
    let recommender: Recommender = serde_yaml_ng::from_str(&yaml).unwrap();
    validate(&recommender).unwrap_err().join("; ")
}

#[test]
fn what_slips_past_the_schema_is_named_with_what_to_write() {
    let cases = [
        ("{data: {source: {}}}", "data.source: expected exactly one of url, configMap and persistentVolumeClaim"),
        ("{data: {source: {url: 'ftp://x/y'}}}", "data.source.url: \"ftp://x/y\"; expected s3://bucket/key.csv or"),
        (
            "{data: {source: {url: 's3://x/y.csv'}}, algorithm: {}}",
            "algorithm: expected exactly one of als, svd and bpr",
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
        let said = problems(spec);
        assert!(said.contains(part), "{spec}: {said:?} lacks {part:?}");
    }
    // All at once, not one after the other.
    let said = problems("{data: {source: {}}, algorithm: {}}");
    assert!(said.contains("data.source") && said.contains("algorithm: expected"), "{said}");
}
