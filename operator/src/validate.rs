//! Converts a Recommender to a plan, or rejects it with what the user must change. Pure.
//!
//! The API server has validated the schema. The checks here catch objects that were stored under an
//! older CRD. The conversion translates the public API to the terms of the contract.

mod access;
mod batch;
mod catalogue;
pub mod composition;
mod hashes;
mod training;

use std::{collections::BTreeMap, ops::Deref};

use recommender_crds::{DataSpec, Identity, NAME_CHARS_MAX, Reason, Recommender, RecommenderSpec};
use sidecar_contract::{Access, Gate};

pub use self::{
    batch::BatchPlan,
    catalogue::CataloguePlan,
    hashes::Hashes,
    training::{INTERACTIONS_MOUNT, ITEMS_MOUNT, TrainingPlan},
};
use crate::{
    child_kind::ChildKind,
    names::{ACCEPT_CATALOGUE_ANNOTATION, PROMOTE_ANNOTATION, REFRESH_CATALOGUE_ANNOTATION, RETRAIN_AT_ANNOTATION},
    observed::Observed,
    store_scope::{self, StoreScope},
};

/// What all Recommenders have: those that train a model, and those that are made of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid; owner references of children contain it.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Resource version of the object.
    pub resource_version: Option<String>,
    /// Finalizers of the object.
    pub finalizers: Vec<String>,
    /// The spec, for pod settings and the gate.
    pub spec: RecommenderSpec,
    /// Who may ask the serving pods.
    pub access: Access,
}

/// A validated Recommender that trains a model. It is complete: no later step adds to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it has in common with those that are made of others; its fields are also those of the
    /// plan.
    pub workload: Workload,
    /// Training data.
    pub data: DataSpec,
    /// Settings of the trainer, except run and store.
    pub training: TrainingPlan,
    /// Lists for all users, if the spec asks for them.
    pub batch: Option<BatchPlan>,
    /// Catalogues apart from the model, if the spec asks for them.
    pub catalogue: Option<CataloguePlan>,
    /// Value of the annotation that requests a refresh of the catalogue.
    pub refresh_catalogue: Option<String>,
    /// Value of the annotation that accepts a held item table.
    pub accept_catalogue: Option<String>,
    /// Hashes of the training config, the spec and the attempt.
    pub hashes: Hashes,
    /// Value of the annotation that requests a run.
    pub retrain_at: Option<String>,
    /// Value of the annotation that promotes a revision.
    pub promote: Option<String>,
    /// Fallback sources, used after the model.
    pub fallback: Vec<String>,
}

impl Deref for Plan {
    type Target = Workload;

    fn deref(&self) -> &Workload {
        &self.workload
    }
}

impl Workload {
    /// The common part of a Recommender. Appends to `problems` what the user must change.
    fn of(recommender: &Recommender, problems: &mut Vec<String>) -> Self {
        let (meta, spec) = (&recommender.metadata, &recommender.spec);
        let (name, namespace) = (meta.name.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default());
        if name.len() > NAME_CHARS_MAX {
            problems.push(format!("metadata.name: {} characters; expected at most {NAME_CHARS_MAX}", name.len()));
        }
        Self {
            namespace,
            name,
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.clone(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            spec: spec.clone(),
            access: access::plan(spec.access.as_ref()),
        }
    }

    /// Whether the serving pods have certificates where the installation signs them.
    pub fn wants_identity(&self) -> bool {
        self.spec.access.as_ref().is_none_or(|access| access.identity == Identity::Auto)
    }

    /// Whether a pod runs under the ServiceAccount that the operator creates.
    pub fn uses_own_service_account(&self) -> bool {
        let serving = self.spec.serving.pod.service_account_name.is_none();
        serving || self.spec.compose().is_none() && self.spec.training.pod.service_account_name.is_none()
    }

    /// Why it is rejected, if objects of another owner have the names of children that it needs.
    fn conflict(&self, observed: &Observed) -> Option<Rejection> {
        let conflicts = observed.name_conflicts.iter().filter(|(kind, _)| self.needs(*kind));
        let conflicts: Vec<String> = conflicts.map(|(kind, name)| format!("{} {name}", kind.as_str())).collect();
        (!conflicts.is_empty()).then_some(Rejection::NameConflict(conflicts))
    }

    /// Whether the Recommender has children of this kind. The name of a child that it does not need
    /// may belong to another object.
    fn needs(&self, kind: ChildKind) -> bool {
        match kind {
            ChildKind::ServiceAccount => self.uses_own_service_account(),
            ChildKind::Secret => self.spec.store.is_none() && self.spec.compose().is_none(),
            _ => true,
        }
    }
}

impl Plan {
    /// The part of the store that belongs to the Recommender.
    pub fn store_scope(&self) -> StoreScope<'_> {
        StoreScope { namespace: &self.namespace, name: &self.name, store: self.spec.store.as_ref() }
    }

    /// The pinned revision, if there is one.
    pub fn pin(&self) -> Option<&str> {
        self.spec.model.as_ref().and_then(|model| model.revision.as_deref())
    }

    /// The quality gate.
    pub fn gate(&self) -> Gate {
        let recommender_crds::Gate { min_lift_over_baseline, max_regression } = self.spec.evaluation.gate;
        Gate { min_lift_over_baseline, max_regression }
    }
}

/// Why a Recommender is rejected. Its children stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The spec is invalid: all problems, each with the field and the expected value.
    InvalidSpec(Vec<String>),
    /// Objects of another owner have the names of children.
    NameConflict(Vec<String>),
}

impl Rejection {
    /// Reason for a condition.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidSpec(_) => Reason::InvalidSpec,
            Self::NameConflict(_) => Reason::NameConflict,
        }
    }

    /// Message for a condition.
    pub fn message(&self) -> String {
        match self {
            Self::InvalidSpec(problems) => problems.join("; "),
            Self::NameConflict(names) => format!(
                "objects with the names of this Recommender's children already exist: {}; delete them, or choose another name",
                names.join(", ")
            ),
        }
    }
}

/// Validates a Recommender.
///
/// # Errors
/// Returns why it is rejected.
pub fn validate(recommender: &Recommender, observed: &Observed) -> Result<Plan, Rejection> {
    let plan = plan(recommender, &observed.secret_versions).map_err(Rejection::InvalidSpec)?;
    let conflict = plan.conflict(observed);
    conflict.map_or(Ok(plan), Err)
}

/// Converts a Recommender, given the versions of the Secrets that the trainer receives.
///
/// # Errors
/// Returns all problems; each names the field and the expected value.
pub fn plan(recommender: &Recommender, secret_versions: &BTreeMap<String, String>) -> Result<Plan, Vec<String>> {
    let mut problems = Vec::new();
    let (meta, spec) = (&recommender.metadata, &recommender.spec);
    let workload = Workload::of(recommender, &mut problems);
    let namespace = &workload.namespace;
    let Some(data) = &spec.data else {
        problems.push("data: missing; for example data: {source: {url: s3://shop/ratings.csv}}".to_owned());
        return Err(problems);
    };
    let items = data.items.as_ref().and_then(|spec| {
        let table = training::items_of(spec, namespace, &mut problems)?;
        Some((spec, table))
    });
    let table = items.as_ref().map(|(_, table)| table);
    let training = training::plan(spec, data, table, namespace, &mut problems);
    let batch = spec.batch.as_ref().map(|batch| batch::plan(batch, &mut problems));
    let catalogue = items.as_ref().and_then(|(spec, table)| catalogue::plan(spec, table, &mut problems));
    problems.extend(spec.store.as_ref().and_then(store_scope::problem));
    let (Some(training), true) = (training, problems.is_empty()) else { return Err(problems) };
    let annotation = |name: &str| meta.annotations.as_ref().and_then(|a| a.get(name)).cloned();
    let retrain_at = annotation(RETRAIN_AT_ANNOTATION);
    Ok(Plan {
        hashes: Hashes::of(spec, data, &training, retrain_at.as_deref(), secret_versions),
        training,
        batch,
        catalogue,
        refresh_catalogue: annotation(REFRESH_CATALOGUE_ANNOTATION),
        accept_catalogue: annotation(ACCEPT_CATALOGUE_ANNOTATION),
        retrain_at,
        promote: annotation(PROMOTE_ANNOTATION),
        fallback: spec.serving.fallback.clone(),
        data: data.clone(),
        workload,
    })
}

#[cfg(test)]
mod tests;
