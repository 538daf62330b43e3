//! Metrics of the parameters: a fit without the held-out set, compared with baselines and with the
//! serving model.

use factorization::{Model, ValidParams, two_hop::TwoHopForm};
use sidecar_contract::{EvaluationConfig, Metrics, RecentBaseline, Signal, SplitKind, TrainingConfig, TwoHopMetrics};

use super::{
    evaluator::{Evaluator, Scores},
    incumbent::{self, Measured},
    interactions,
    parts::Parts,
    revision::ServingRevision,
    split::{self, Subset, is_in, split, split_again},
};
use crate::{
    failure::RunError,
    merge::InteractionTable,
    progress::{Event, Progress, Step},
};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Evaluates the parameters; `None` if training part or held-out set is empty, or if there are no
/// test users.
pub(super) fn measure(
    config: &TrainingConfig,
    params: &ValidParams,
    table: &InteractionTable,
    serving: Option<&ServingRevision<'_>>,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, RunError> {
    progress.event(&Event::Step(Step::Split));
    let Some(subsets) = split(config, table)? else { return Ok(None) };
    let Some(parts) = Parts::new(config, table, &subsets)? else { return Ok(None) };
    progress.event(&Event::Step(Step::Fit));
    let model = parts.fit(params, config, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let evaluator = Evaluator::new(config, &parts);
    let Some(candidate) = evaluator.evaluate(&model) else { return Ok(None) };
    let kind = split::kind(config, table)?;
    let baseline = evaluator.baseline();
    let measured = Measured { config, params, table, subsets: &subsets, parts: &parts, candidate: &candidate };
    let compared = incumbent::compare_evaluated(&measured, &model, kind, serving, &evaluator)?;
    // Frees the model before another fit.
    let two_hop = two_hop(model, &evaluator);
    let compared = match compared {
        Some(compared) => Some(compared),
        None => incumbent::compare(&measured, kind, serving, &evaluator, progress)?,
    };
    let metrics = Metrics {
        metric: candidate.metric().to_owned(),
        k: config.evaluation.k,
        split: Some(kind.into()),
        test_users: candidate.users() as u64,
        model: candidate.measurement(),
        baseline: baseline.measurement(),
        lift: evaluator.lift(&candidate, &baseline),
        recent_baseline: match (kind, config.signal) {
            (SplitKind::Time, Signal::Implicit) => recent_baseline(config, table, &subsets, &evaluator, &candidate)?,
            _ => None,
        },
        incumbent: compared,
        cold_items: None,
        by_activity: evaluator.by_activity(&candidate, &baseline),
        two_hop,
    };
    progress.event(&Event::Measured(&metrics));
    Ok(Some(metrics))
}

/// How the two-hop term of a model is computed, and what its lists lose by the limit of a walk.
fn two_hop(model: Model, evaluator: &Evaluator<'_>) -> Option<TwoHopMetrics> {
    let term = model.two_hop.as_ref()?;
    let (form, additions_max) = (term.form(), term.additions_max() as u64);
    let loss = match form {
        TwoHopForm::Pairs => 0.0,
        TwoHopForm::Walks => evaluator.limit_loss(model)?,
    };
    Some(TwoHopMetrics { form: form.name().to_owned(), additions_max, loss })
}

/// Number of test users of a run with a split of this kind: users with both a history and held-out
/// items, or of many a sample.
pub(crate) fn measurable_users(
    config: &TrainingConfig,
    table: &InteractionTable,
    kind: SplitKind,
) -> Result<u64, RunError> {
    let evaluation = EvaluationConfig { split: Some(kind), ..config.evaluation.clone() };
    let config = TrainingConfig { evaluation, ..config.clone() };
    let Some(subsets) = split(&config, table)? else { return Ok(0) };
    Ok(Parts::new(&config, table, &subsets)?.map_or(0, |parts| parts.test_users().count() as u64))
}

/// Whether runs of this config compare with the serving model itself, and not with its parameters.
pub(crate) fn compares_with_revision(config: &TrainingConfig, table: &InteractionTable) -> bool {
    let has_snapshot = config.incumbent.as_ref().is_some_and(|incumbent| incumbent.snapshot.is_some());
    has_snapshot && split::kind(config, table).is_ok_and(|kind| kind == SplitKind::Time)
}

/// What was popular in the newest rows of the training part: those that a split of this part would
/// hold out.
fn recent_baseline(
    config: &TrainingConfig,
    table: &InteractionTable,
    subsets: &[Subset],
    evaluator: &Evaluator<'_>,
    candidate: &Scores,
) -> Result<Option<RecentBaseline>, RunError> {
    let Some(inner) = split_again(config, table, subsets, 0)? else { return Ok(None) };
    let is_recent = |position: usize| is_in(&inner, position, Subset::Test);
    let times = table.times.iter().flatten().enumerate();
    let since = times.filter(|(position, _)| is_recent(*position)).map(|(_, micros)| *micros).min();
    let scores = evaluator.recent_baseline(&interactions(table, is_recent)?);
    Ok(since.map(|micros| RecentBaseline {
        since: micros.div_euclid(MICROS_PER_SECOND),
        measurement: scores.measurement(),
        lift: evaluator.lift(candidate, &scores),
    }))
}
