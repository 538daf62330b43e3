//! The finalizer that delays the deletion of a Recommender until its store data is deleted. Pure.

use recommender_crds::DeletionPolicy;

use crate::names::FINALIZER;

/// Whether the finalizer is among these.
pub fn is_present(finalizers: &[String]) -> bool {
    finalizers.iter().any(|name| name == FINALIZER)
}

/// The finalizers without ours.
pub fn without(finalizers: &[String]) -> Vec<String> {
    finalizers.iter().filter(|name| *name != FINALIZER).cloned().collect()
}

/// The finalizers that the deletion policy requires, if they differ from these.
pub fn change(finalizers: &[String], policy: DeletionPolicy) -> Option<Vec<String>> {
    let is_needed = policy == DeletionPolicy::Delete;
    if is_present(finalizers) == is_needed {
        return None;
    }
    let mut changed = without(finalizers);
    changed.extend(is_needed.then(|| FINALIZER.to_owned()));
    Some(changed)
}
