//! Tests of compositions and their parts.

use serde_json::{Value, json};

use super::*;

fn recommender(name: &str, spec: &Value) -> Recommender {
    let object = json!({
        "apiVersion": "recmesh.dev/v1alpha1", "kind": "Recommender",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-uid")}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn composed(name: &str, compose: &Value) -> Recommender {
    recommender(name, &json!({"algorithm": {"compose": compose}}))
}

fn trained(name: &str, signal: &str, access: &Value) -> Recommender {
    recommender(name, &json!({"data": {"source": {"url": "s3://a/b.csv"}, "signal": signal}, "access": access}))
}

fn named(recommenders: Vec<Recommender>) -> Named {
    recommenders.into_iter().map(|found| (found.metadata.name.clone().unwrap(), Some(found))).collect()
}

fn blend(normalize: &str, parts: &[&str]) -> Value {
    let parts: Vec<Value> = parts.iter().map(|part| json!({"name": part})).collect();
    json!({"blend": {"parts": parts, "normalize": normalize}})
}

fn problem(recommender: &Recommender, named: &Named) -> Option<(Reason, bool)> {
    let problem = plan(recommender, named, true).unwrap().problem;
    problem.map(|problem| (problem.reason, problem.is_partial))
}

fn shop() -> Named {
    named(vec![
        trained("films", "implicit", &Value::Null),
        trained("books", "implicit", &Value::Null),
        trained("stars", "explicit", &Value::Null),
    ])
}

#[test]
fn every_rule_of_the_spec_reaches_the_pods() {
    let cases = [
        (
            json!({"blend": {"parts": [{"name": "films", "weight": 2}, {"name": "books"}], "normalize": "score"}}),
            json!({"blend": {"parts": [{"name": "films", "weight": 2.0}, {"name": "books", "weight": 1.0}], "normalize": "score"}}),
        ),
        (
            json!({"cascade": {"parts": ["films", "books"], "minItems": 5}}),
            json!({"cascade": {"parts": ["films", "books"], "minItems": 5, "acceptDegraded": false}}),
        ),
        (
            json!({"switch": {"header": "x-recmesh-segment", "cases": [{"value": "new", "part": "books"}], "default": "films"}}),
            json!({"switch": {"header": "x-recmesh-segment", "cases": [{"value": "new", "part": "books"}], "default": "films"}}),
        ),
        (
            json!({"switch": {"field": "query", "cases": [{"value": "item", "part": "books"}], "default": "films"}}),
            json!({"switch": {"field": "query", "cases": [{"value": "item", "part": "books"}], "default": "films"}}),
        ),
        (
            json!({"split": {"parts": [{"name": "films", "share": 9}, {"name": "books", "share": 1}], "salt": "s"}}),
            json!({"split": {"parts": [{"name": "films", "share": 9}, {"name": "books", "share": 1}], "salt": "s"}}),
        ),
    ];
    for (spec, expected) in cases {
        let plan = plan(&composed("home", &spec), &shop(), true).unwrap();
        assert_eq!(plan.problem, None, "{spec}");
        let config = serde_json::to_value(plan.config().unwrap()).unwrap();
        assert_eq!(config["rule"], expected);
        let parts = config["parts"].as_array().unwrap();
        let mut names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["books", "films"], "{spec}");
        assert!(parts.iter().all(|part| part["serviceAccount"] == part["name"]), "{config}");
    }
}

#[test]
fn a_missing_part_leaves_the_others() {
    let home = composed("home", &blend("rank", &["films", "games"]));
    assert_eq!(problem(&home, &shop()), Some((Reason::PartNotFound, true)));
    let plan = plan(&home, &shop(), true).unwrap();
    assert_eq!(plan.config().unwrap().parts.len(), 2, "its pods are found as soon as there are any");
    assert!(plan.problem.unwrap().message.contains("no Recommender games"));
}

#[test]
fn cycles_are_found_over_any_number_of_compositions() {
    let home = composed("home", &blend("rank", &["films", "a"]));
    let mut others = shop();
    others.extend(named(vec![
        composed("a", &json!({"cascade": {"parts": ["books", "b"]}})),
        composed("b", &json!({"split": {"parts": [{"name": "films", "share": 1}, {"name": "c", "share": 1}]}})),
        composed("c", &blend("rank", &["films", "books"])),
    ]));
    assert_eq!(problem(&home, &others), None, "two ways to the same part are not a cycle");
    others.extend(named(vec![composed("c", &blend("rank", &["films", "home"]))]));
    let plan = plan(&home, &others, true).unwrap();
    assert_eq!(plan.config(), None);
    let problem = plan.problem.unwrap();
    assert_eq!((problem.reason, problem.is_partial), (Reason::PartsCyclic, false));
    assert!(problem.message.contains("home > a > b > c > home"), "{}", problem.message);
    let own = composed("home", &blend("rank", &["home", "films"]));
    assert_eq!(self::problem(&own, &shop()), Some((Reason::PartsCyclic, false)));
    // A cycle of others is none of this one, but an answer would not end either.
    let mut others = shop();
    others.extend(named(vec![
        composed("a", &blend("rank", &["b", "films"])),
        composed("b", &blend("rank", &["a", "films"])),
    ]));
    assert_eq!(self::problem(&home, &others), Some((Reason::PartsCyclic, false)));
}

#[test]
fn scores_of_ratings_and_of_preferences_are_not_blended() {
    let by = |normalize: &str| problem(&composed("home", &blend(normalize, &["films", "stars"])), &shop());
    assert_eq!(by("score"), Some((Reason::PartsUnlike, false)));
    assert_eq!(by("rank"), None);
    assert_eq!(problem(&composed("home", &blend("score", &["films", "books"])), &shop()), None);
}

#[test]
fn a_part_is_asked_with_mutual_tls_where_possible_and_never_against_its_access() {
    let never = json!({"plaintext": "Never"});
    let home = |access: &Value| {
        let compose = blend("rank", &["films", "books"]);
        recommender("home", &json!({"algorithm": {"compose": compose}, "access": access}))
    };
    let of = |part: Recommender, home: &Recommender, signs: bool| {
        let mut others = shop();
        others.extend(named(vec![part]));
        let plan = plan(home, &others, signs).unwrap();
        let part = plan.parts.iter().find(|part| part.name == "films").unwrap();
        (part.service_account.clone(), plan.problem.map(|problem| problem.reason))
    };
    let films = |access: &Value| trained("films", "implicit", access);
    let (plain, own) = (home(&Value::Null), Some("films".to_owned()));
    let without_identity = home(&json!({"identity": "None"}));
    assert_eq!(of(films(&Value::Null), &plain, true), (own.clone(), None));
    assert_eq!(of(films(&Value::Null), &plain, false), (None, None));
    assert_eq!(of(films(&json!({"identity": "None"})), &plain, true), (None, None));
    assert_eq!(of(films(&Value::Null), &without_identity, true), (None, None));
    assert_eq!(of(films(&never), &plain, true), (own.clone(), None));
    assert_eq!(of(films(&never), &plain, false), (None, Some(Reason::PartUnreachable)));
    assert_eq!(of(films(&never), &without_identity, true), (None, Some(Reason::PartUnreachable)));
    let only_web = json!({"allow": [{"namespace": "shop", "serviceAccount": "web"}]});
    assert_eq!(of(films(&only_web), &plain, true), (None, None), "plaintext is left");
    let only_web = json!({"allow": [{"namespace": "shop", "serviceAccount": "web"}], "plaintext": "Never"});
    assert_eq!(of(films(&only_web), &plain, true), (None, Some(Reason::PartUnreachable)));
    let home_too = json!({"allow": [{"namespace": "shop", "serviceAccount": "home"}], "plaintext": "Never"});
    assert_eq!(of(films(&home_too), &plain, true), (own, None));
}
