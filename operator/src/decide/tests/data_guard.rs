//! Tests of the data guards: a model of unexpected rows does not serve.

use serde_json::json;
use sidecar_contract::RunResult;

use super::{
    models, plan_of,
    revisions::{GOOD, config},
    serving_of, trained,
};
use crate::{
    decide::{Choice, DataFault},
    validate::Plan,
};

/// A run that dropped and kept this many rows.
fn run(plan: &Plan, number: u32, content: &str, dropped: &serde_json::Value, kept: u64) -> RunResult {
    let read = kept + dropped.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    let rows = json!({"read": read, "kept": kept, "dropped": dropped});
    RunResult { rows: serde_json::from_value(rows).unwrap(), ..trained(plan, number, content, GOOD) }
}

fn fault(plan: &Plan, result: &RunResult) -> Option<DataFault> {
    models(plan, std::slice::from_ref(result), None)[0].data_fault.clone()
}

#[test]
fn dropped_rows_count_up_to_the_maximum_fraction() {
    let (default, tolerant) = (plan_of(|_| {}), plan_of(|r| r.spec.data.as_mut().unwrap().max_dropped_fraction = 0.2));
    assert_eq!(fault(&default, &run(&default, 1, "a", &json!({"notANumber": 5}), 95)), None);
    let six = run(&default, 1, "a", &json!({"notANumber": 4, "emptyUser": 2}), 94);
    assert_eq!(fault(&default, &six), Some(DataFault::Dropped { dropped: 6, read: 100, allowed: 0.05 }));
    assert_eq!(fault(&tolerant, &six), None);
    // Rows of events without a weight are excluded on purpose.
    assert_eq!(fault(&default, &run(&default, 1, "a", &json!({"eventNotListed": 900, "emptyUser": 5}), 95)), None);
}

#[test]
fn a_minimum_of_rows_is_optional() {
    let plan = plan_of(|r| r.spec.data.as_mut().unwrap().min_rows = Some(100));
    assert_eq!(fault(&plan, &run(&plan, 1, "a", &json!({}), 100)), None);
    let few = run(&plan, 1, "a", &json!({}), 99);
    assert_eq!(fault(&plan, &few), Some(DataFault::TooFew { kept: 99, required: 100 }));
}

#[test]
fn a_model_of_far_fewer_rows_than_the_serving_one_does_not_replace_it() {
    let plan = plan_of(|_| {});
    let first = run(&plan, 1, "a", &json!({}), 1000);
    let serving = config(&serving_of(&plan, std::slice::from_ref(&first), None));
    let next = |plan: &Plan, rows: u64| {
        let results = [first.clone(), run(plan, 2, "b", &json!({}), rows), run(plan, 3, "c", &json!({}), rows)];
        let decided = serving_of(plan, &results, Some(&serving));
        (decided.desired.unwrap().digest == super::Digest::of(b"c"), decided.choice)
    };
    assert_eq!(next(&plan, 500), (true, Choice::Passed));
    // The third run is compared with the serving model, not with the second run.
    assert_eq!(next(&plan, 499), (false, Choice::Passed));
    let other_data = plan_of(|r| r.spec.training.seed = 7);
    assert_eq!(next(&other_data, 10), (true, Choice::Passed), "another spec may use other data");
}

#[test]
fn a_first_model_of_unexpected_rows_serves_popularity_only() {
    let plan = plan_of(|_| {});
    let decided = serving_of(&plan, &[run(&plan, 1, "a", &json!({"notANumber": 626}), 2504)], None);
    assert_eq!(decided.choice, Choice::PopularityOnly);
}
