//! Small data for the tests.

use std::fmt::Write as _;

/// Two groups of users with two groups of items, as csv: even users like even items, and each misses one.
pub fn two_groups() -> String {
    let mut csv = "user_id,item_id\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(csv, "user{user},item{item}").unwrap();
        }
    }
    csv
}

/// A Recommender over key `visits.csv` of ConfigMap `visits`. The gate is open: the tests are not about quality.
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
