//! Names of Services that the operator creates and sidecars of apps look up.

/// The headless Service of a Recommender, whose name resolves to each of its ready serving pods.
pub fn pods_service(recommender: &str) -> String {
    format!("{recommender}-pods")
}
