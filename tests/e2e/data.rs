//! Small data sets of the tests.

use std::fmt::Write as _;

/// Returns a CSV file with two groups of users and items: even users interact with even items, odd
/// users with odd items, and each user misses one item of the group.
pub fn two_groups() -> String {
    let mut csv = "user_id,item_id\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(csv, "user{user},item{item}").unwrap();
        }
    }
    csv
}

/// Returns a Recommender on key `visits.csv` of ConfigMap `visits`. Its gate passes every model,
/// because these tests do not test quality.
pub fn recommender(name: &str, factors: u32, replicas: u32) -> String {
    format!(
        "apiVersion: recmesh.dev/v1alpha1
kind: Recommender
metadata: {{name: {name}}}
spec:
  data: {{source: {{configMap: {{name: visits, key: visits.csv}}}}}}
  algorithm: {{als: {{factors: {factors}, iterations: 5}}}}
  evaluation: {{gate: {{minLiftOverBaseline: -1}}}}
  serving: {{replicas: {replicas}}}
"
    )
}
