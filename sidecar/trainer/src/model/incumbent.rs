//! Comparison of a new model with the one that serves.
//!
//! The serving revision was fitted to all rows of its time, so it may have learned from rows that
//! are held out now. Only with a split by time is there a part that it cannot know: rows that are
//! newer than its own. On these it is compared itself, with the training rows folded in. The new
//! parameters are fitted to rows that are at most as new as the held-out ones, so neither model has
//! an advantage. Otherwise its parameters are fitted to the training part of the new model, and
//! these fits are compared.

use factorization::ValidParams;
use sidecar_contract::{Comparison, ComparisonReference, Incumbent, Interval, SplitKind, TrainingConfig};

use super::{
    check,
    evaluator::{Evaluator, Scores, TEST_USERS_FOR_LIFT_MIN},
    parts::Parts,
    revision::ServingRevision,
    split::{Subset, is_newer_than, split_after},
};
use crate::{failure::RunError, merge::InteractionTable, progress::Progress};

/// What was measured of the new parameters.
pub(super) struct Measured<'a> {
    pub(super) config: &'a TrainingConfig,
    pub(super) params: &'a ValidParams,
    pub(super) table: &'a InteractionTable,
    pub(super) subsets: &'a [Subset],
    pub(super) parts: &'a Parts,
    pub(super) candidate: &'a Scores,
}

/// Compares with the incumbent of the config; `None` without one, if its parameters are not valid
/// for the data, or if there are too few test users.
pub(super) fn compare(
    measured: &Measured<'_>,
    kind: SplitKind,
    serving: Option<&ServingRevision<'_>>,
    evaluator: &Evaluator<'_>,
    progress: &dyn Progress,
) -> Result<Option<Comparison>, RunError> {
    let Some(incumbent) = &measured.config.incumbent else { return Ok(None) };
    let comparison = |reference: ComparisonReference, (lift, users): (Interval, usize)| Comparison {
        digest: incumbent.digest.clone(),
        reference: reference.into(),
        test_users: Some(users as u64),
        lift,
    };
    if let (SplitKind::Time, Some(serving), Some(snapshot)) = (kind, serving, incumbent.snapshot)
        && let Some(found) = with_revision(measured, serving, snapshot.newest_row_micros, evaluator, progress)?
    {
        return Ok(Some(comparison(ComparisonReference::Revision, found)));
    }
    let found = with_parameters(measured, incumbent, evaluator, progress)?;
    Ok(found.map(|found| comparison(ComparisonReference::Parameters, found)))
}

/// Lift over the revision itself, and the number of users, on rows that are newer than `newest`.
/// `None` if they have too few users.
fn with_revision(
    measured: &Measured<'_>,
    serving: &ServingRevision<'_>,
    newest: i64,
    evaluator: &Evaluator<'_>,
    progress: &dyn Progress,
) -> Result<Option<(Interval, usize)>, RunError> {
    let Measured { config, params, table, subsets, candidate, .. } = *measured;
    let lift = |evaluator: &Evaluator<'_>, candidate: &Scores| {
        let reference = evaluator.evaluate_revision(serving)?;
        Some((evaluator.lift(candidate, &reference)?, candidate.users()))
    };
    if is_newer_than(table, subsets, newest) {
        return Ok(lift(evaluator, candidate));
    }
    let Some(later) = split_after(table, newest) else { return Ok(None) };
    let Some(parts) = Parts::new(config, table, &later)? else { return Ok(None) };
    if parts.test_users().count() < TEST_USERS_FOR_LIFT_MIN {
        return Ok(None);
    }
    let model = parts.fit(params, config, progress)?;
    let evaluator = Evaluator::new(config, &parts);
    Ok(evaluator.evaluate(&model).and_then(|candidate| lift(&evaluator, &candidate)))
}

/// Lift over the incumbent's parameters, fitted to the same training part, and the number of users.
fn with_parameters(
    measured: &Measured<'_>,
    incumbent: &Incumbent,
    evaluator: &Evaluator<'_>,
    progress: &dyn Progress,
) -> Result<Option<(Interval, usize)>, RunError> {
    let Measured { config, parts, candidate, .. } = *measured;
    let lift = if incumbent.algorithm == config.algorithm {
        // Equal parameters on equal rows give the same model.
        evaluator.lift(candidate, candidate)
    } else {
        // Parameters for ratings may be invalid for interactions, and vice versa. Without valid ones
        // there is no comparison.
        let Ok(params) = check(&TrainingConfig { algorithm: incumbent.algorithm.clone(), ..config.clone() }) else {
            return Ok(None);
        };
        let model = parts.fit(&params, config, progress)?;
        evaluator.evaluate(&model).and_then(|reference| evaluator.lift(candidate, &reference))
    };
    Ok(lift.map(|lift| (lift, candidate.users())))
}
