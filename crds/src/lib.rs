//! The public API of Recmesh: the custom resource `Recommender`, its conditions, and the CRD that the cluster installs.
//!
//! Types hold the defaults and bounds; [`rules`] holds what one field alone cannot say; [`crd()`] puts both into the CRD,
//! and `recommenders.yaml` is its committed form. Until v1 the version changes by addition only.

pub mod condition;
pub mod crd;
pub mod duration;
pub mod recommender;
pub mod rules;
pub mod status;

pub use condition::{ConditionType, Reason};
pub use crd::{crd, crd_yaml};
pub use recommender::*;
pub use status::*;

/// API group.
pub const GROUP: &str = "recmesh.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// Longest name of a Recommender: names of its children append to it, and Kubernetes' own limit is 63.
pub const NAME_LENGTH_MAX: usize = 40;
/// Annotation that asks for a new training run; any new value asks once.
pub const RETRAIN_AT_ANNOTATION: &str = "recmesh.dev/retrain-at";
