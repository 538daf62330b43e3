//! End-to-end tests on a real node. Each verifies user-visible behaviour in its own namespace.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Tests may panic.

mod asking_job;
mod autoscaling; // HorizontalPodAutoscaler on the scale subresource
mod catalogue; // stock, filters and lists for all users
mod composition; // Recommenders that are made of others
mod data;
mod examples; // unmodified crds/examples
mod failures; // errors are reported, and fixing them recovers
mod flask_shop; // the app of an example, and its page
mod kstatus; // status as computed by deployment tools
mod local_mode; // an app whose sidecar holds the model
mod mesh; // sidecars of apps
mod metrics; // series and dashboard queries in Prometheus
mod network_policies; // who may connect to serving pods, store and operator
mod recommender_lifecycle; // train, serve, change, delete
mod revisions; // gate, pin, promotion, history
mod tenants; // quotas and ServiceAccounts
