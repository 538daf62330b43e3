//! Comparison of a new model with the one that serves.
//!
//! The serving revision was fitted to all rows of its time, so it may have learned from rows that
//! are held out now. Only with a split by time is there a part that it cannot know: pairs whose rows
//! are all newer than its own. On these it is compared itself, with the training rows folded in. A
//! pair with newer rows that it has from an earlier one counts for neither model, and no list has
//! its item. The new parameters are fitted to pairs that are at most as new as the held-out ones, so
//! the new model has no advantage. Otherwise the parameters of the serving model are fitted to the
//! training part of the new model, and these fits are compared.

use factorization::{Model, ValidParams};
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

/// Compares the evaluated fit with the serving revision, if all held-out rows are newer than the
/// revision. `None` otherwise, or if too few users are left.
pub(super) fn compare_evaluated(
    measured: &Measured<'_>,
    model: &Model,
    kind: SplitKind,
    serving: Option<&ServingRevision<'_>>,
    evaluator: &Evaluator<'_>,
) -> Result<Option<Comparison>, RunError> {
    let Some(Reference { incumbent, serving, newest }) = reference(measured, kind, serving) else { return Ok(None) };
    let Measured { config, table, subsets, candidate, .. } = *measured;
    if !is_newer_than(table, subsets, newest) {
        return Ok(None);
    }
    let found = match without_known_pairs(serving, table, subsets) {
        None => lift_over(serving, evaluator, candidate),
        Some(unknown) => Parts::new(config, table, &unknown)?.and_then(|parts| {
            let evaluator = Evaluator::new(config, &parts);
            lift_over(serving, &evaluator, &evaluator.evaluate(model)?)
        }),
    };
    Ok(found.map(|found| comparison(incumbent, ComparisonReference::Revision, found)))
}

/// Compares a fit for this comparison with the incumbent of the config; `None` without an
/// incumbent, if its parameters are not valid for the data, or if there are too few test users.
pub(super) fn compare(
    measured: &Measured<'_>,
    kind: SplitKind,
    serving: Option<&ServingRevision<'_>>,
    evaluator: &Evaluator<'_>,
    progress: &dyn Progress,
) -> Result<Option<Comparison>, RunError> {
    let Some(incumbent) = &measured.config.incumbent else { return Ok(None) };
    if let Some(reference) = reference(measured, kind, serving)
        && let Some(found) = with_revision(measured, &reference, progress)?
    {
        return Ok(Some(comparison(incumbent, ComparisonReference::Revision, found)));
    }
    let found = with_parameters(measured, incumbent, evaluator, progress)?;
    Ok(found.map(|found| comparison(incumbent, ComparisonReference::Parameters, found)))
}

/// The serving revision of a run whose split has rows that it cannot know.
struct Reference<'a> {
    incumbent: &'a Incumbent,
    serving: &'a ServingRevision<'a>,
    /// Time of the revision's newest row in Unix microseconds.
    newest: i64,
}

fn reference<'a>(
    measured: &Measured<'a>,
    kind: SplitKind,
    serving: Option<&'a ServingRevision<'a>>,
) -> Option<Reference<'a>> {
    let incumbent = measured.config.incumbent.as_ref()?;
    let newest = incumbent.snapshot?.newest_row_micros;
    (kind == SplitKind::Time).then_some(Reference { incumbent, serving: serving?, newest })
}

fn comparison(incumbent: &Incumbent, reference: ComparisonReference, (lift, users): (Interval, usize)) -> Comparison {
    Comparison { digest: incumbent.digest.clone(), reference: reference.into(), test_users: Some(users as u64), lift }
}

/// Lift over the revision on rows that are newer than its own, and the number of users. `None` if
/// they have too few users.
fn with_revision(
    measured: &Measured<'_>,
    reference: &Reference<'_>,
    progress: &dyn Progress,
) -> Result<Option<(Interval, usize)>, RunError> {
    let Measured { config, params, table, .. } = *measured;
    let Reference { serving, newest, .. } = *reference;
    let Some(later) = split_after(table, newest) else { return Ok(None) };
    let later = without_known_pairs(serving, table, &later).unwrap_or(later);
    let Some(parts) = Parts::new(config, table, &later)? else { return Ok(None) };
    if parts.test_users().count() < TEST_USERS_FOR_LIFT_MIN {
        return Ok(None);
    }
    let model = parts.fit(params, config, progress)?;
    let evaluator = Evaluator::new(config, &parts);
    Ok(evaluator.evaluate(&model).and_then(|candidate| lift_over(serving, &evaluator, &candidate)))
}

/// Lift over the revision on the rows of the evaluator, and the number of users.
fn lift_over(
    serving: &ServingRevision<'_>,
    evaluator: &Evaluator<'_>,
    candidate: &Scores,
) -> Option<(Interval, usize)> {
    let reference = evaluator.evaluate_revision(serving)?;
    Some((evaluator.lift(candidate, &reference)?, candidate.users()))
}

/// The split without the held-out pairs that the revision knows: a pair has the time of its newest
/// row, and an earlier row of it may be one of the revision. `None` if there is no such pair.
fn without_known_pairs(
    serving: &ServingRevision<'_>,
    table: &InteractionTable,
    subsets: &[Subset],
) -> Option<Vec<Subset>> {
    let is_known =
        |user: u32, item: u32| table.user_ids.get(user as usize).is_some_and(|user_id| serving.knows(user_id, item));
    let pairs = subsets.iter().zip(table.users().zip(&table.items));
    let subsets: Vec<Subset> = pairs
        .map(|(subset, (user, item))| match subset {
            Subset::Test if is_known(user, *item) => Subset::Known,
            other => *other,
        })
        .collect();
    subsets.contains(&Subset::Known).then_some(subsets)
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
