//! How good the model is on interactions that it has not seen, beside its baseline and beside the model that serves.
//!
//! Only users with something in the training part are measured: of others the model knows no more than its baseline. Lists
//! leave out what a user has met in training. Whether an item is available now plays no part: the kept interactions are of
//! the past.

use factorization::{Interactions, Lift, Model, ValidParams, split};
use sidecar_contract::{
    Against, EvaluationConfig, Incumbent, Interval, Measurement, Metrics, Signal, SplitKind, TrainingConfig,
};

use super::{
    fit, interactions,
    ranked::Ranked,
    rated::{Averages, Rated},
};
use crate::{
    failure::Stop,
    merge::Merged,
    progress::{Event, Progress, Step},
    weights::PartWeights,
};

/// With fewer measured users there is no lift: the interval of a bootstrap over a handful of users means nothing.
const TEST_USERS_FOR_LIFT_MIN: usize = 20;
/// Resamples of the bootstrap.
pub(super) const BOOTSTRAP_RESAMPLES: usize = 1000;

/// `None` when nothing or everything falls into the kept part, or nobody can be measured.
pub(super) fn measure(
    config: &TrainingConfig,
    params: &ValidParams,
    merged: &Merged,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, Stop> {
    progress.event(&Event::Step(Step::Split));
    let Some(kept) = kept_for_measuring(config, merged, None)? else { return Ok(None) };
    let Some(Parts { training, test }) = parts(config, merged, &kept, None)? else { return Ok(None) };
    progress.event(&Event::Step(Step::Fit));
    let (model, _) = fit(&training, params, config, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let judge = Judge::new(config, &training, &test);
    let Some(ours) = judge.model(&model) else { return Ok(None) };
    let mut metrics = judge.metrics(&ours);
    if let Some(incumbent) = &config.incumbent {
        metrics.incumbent = against(config, incumbent, &judge, &ours, progress)?;
    }
    progress.event(&Event::Measured(&metrics));
    Ok(Some(metrics))
}

/// Interactions to fit, and others to measure on, of users who are in the first.
pub(super) struct Parts {
    pub(super) training: Interactions,
    pub(super) test: Interactions,
}

/// The kept ones and the others, without those that are `already` kept for something else; `None` when nobody can be measured.
pub(super) fn parts(
    config: &TrainingConfig,
    merged: &Merged,
    kept: &[bool],
    already: Option<&[bool]>,
) -> Result<Option<Parts>, Stop> {
    let is_fitted = |position| is_free(already, position) && !is_in(kept, position);
    let training = interactions(merged, is_fitted)?;
    let training = PartWeights::of(&config.weights, merged, &training, is_fitted).weigh(training);
    let is_known = |user: usize| match config.signal {
        Signal::Implicit => training.row(user).1.iter().any(|weight| *weight > 0.0),
        Signal::Explicit => !training.row(user).1.is_empty(),
    };
    let known: Vec<bool> = (0..training.users()).map(is_known).collect();
    let of_known: Vec<bool> = merged.users().map(|user| is_in(&known, user as usize)).collect();
    let test = interactions(merged, |position| {
        is_free(already, position) && is_in(kept, position) && is_in(&of_known, position)
    })?;
    Ok((test.nnz() > 0).then_some(Parts { training, test }))
}

/// Users whom a split of this kind leaves something to learn from and something to measure on.
pub(crate) fn measurable_users(config: &TrainingConfig, merged: &Merged, kind: SplitKind) -> Result<u64, Stop> {
    let evaluation = EvaluationConfig { split: Some(kind), ..config.evaluation.clone() };
    let config = TrainingConfig { evaluation, ..config.clone() };
    let Some(kept) = kept_for_measuring(&config, merged, None)? else { return Ok(0) };
    let test = parts(&config, merged, &kept, None)?.map(|Parts { training: _, test }| test);
    Ok(test.map_or(0, |test| (0..test.users()).filter(|user| !test.row(*user).1.is_empty()).count() as u64))
}

fn is_free(already: Option<&[bool]>, position: usize) -> bool {
    !already.is_some_and(|already| is_in(already, position))
}

/// Whether the position is marked.
fn is_in(marked: &[bool], position: usize) -> bool {
    marked.get(position).copied().unwrap_or(false)
}

/// The lift over the incumbent's parameters, fitted to the same part.
fn against(
    config: &TrainingConfig,
    incumbent: &Incumbent,
    judge: &Judge<'_>,
    ours: &Scores,
    progress: &dyn Progress,
) -> Result<Option<Against>, Stop> {
    let lift = if incumbent.algorithm == config.algorithm {
        // Equal parameters on equal rows are the same model.
        judge.lift(ours, ours)
    } else {
        // Parameters of another signal may be none of this one: then there is nothing to lose against.
        let Ok(params) = super::check(&TrainingConfig { algorithm: incumbent.algorithm.clone(), ..config.clone() })
        else {
            return Ok(None);
        };
        let (model, _) = fit(judge.training, &params, config, progress)?;
        judge.model(&model).and_then(|theirs| judge.lift(ours, &theirs))
    };
    Ok(lift.map(|lift| Against { digest: incumbent.digest.clone(), lift }))
}

/// What all that are compared are held against.
pub(super) struct Judge<'a> {
    config: &'a TrainingConfig,
    training: &'a Interactions,
    test: &'a Interactions,
    /// Of ratings.
    averages: Option<Averages>,
}

/// What the kept part says of somebody's answers.
enum Scores {
    /// Their lists.
    Ranked(Ranked),
    /// Their predictions of ratings, and their lists.
    Rated(Rated),
}

impl<'a> Judge<'a> {
    pub(super) fn new(config: &'a TrainingConfig, training: &'a Interactions, test: &'a Interactions) -> Self {
        let averages = match config.signal {
            Signal::Implicit => None,
            Signal::Explicit => Averages::of(training),
        };
        Self { config, training, test, averages }
    }

    /// `None` if nobody can be measured.
    fn model(&self, model: &Model) -> Option<Scores> {
        let k = self.config.evaluation.k as usize;
        let scores = match &self.averages {
            None => Scores::Ranked(Ranked::model(model, self.training, self.test, k)),
            Some(averages) => Scores::Rated(Rated::model(model, averages, self.training, self.test, k)?),
        };
        (scores.users() > 0).then_some(scores)
    }

    /// What the gate looks at, and no more than that: the error of ratings needs no lists. `None` if nobody can be measured.
    pub(super) fn value(&self, model: &Model) -> Option<f64> {
        match &self.averages {
            None => self.model(model)?.measurement().ndcg,
            Some(_) => Rated::rmse(model, self.test),
        }
    }

    fn baseline(&self) -> Scores {
        let k = self.config.evaluation.k as usize;
        match &self.averages {
            None => Scores::Ranked(Ranked::popularity(self.training, self.test, k)),
            Some(averages) => Scores::Rated(Rated::averages(averages, self.training, self.test, k)),
        }
    }

    /// By how much ours are better, relative to theirs, on the same users.
    fn lift(&self, ours: &Scores, theirs: &Scores) -> Option<Interval> {
        if ours.users() < TEST_USERS_FOR_LIFT_MIN {
            return None;
        }
        let lift = match (ours, theirs) {
            (Scores::Ranked(ours), Scores::Ranked(theirs)) => ours.lift(theirs, self.config.seed),
            (Scores::Rated(ours), Scores::Rated(theirs)) => ours.lift(theirs, self.config.seed),
            (Scores::Ranked(_), Scores::Rated(_)) | (Scores::Rated(_), Scores::Ranked(_)) => None,
        };
        lift.map(|Lift { estimate, low, high }| Interval { estimate, low, high })
    }

    fn metrics(&self, ours: &Scores) -> Metrics {
        let baseline = self.baseline();
        Metrics {
            metric: match ours {
                Scores::Ranked(_) => "ndcg",
                Scores::Rated(_) => "rmse",
            }
            .to_owned(),
            k: self.config.evaluation.k,
            test_users: ours.users() as u64,
            model: ours.measurement(),
            baseline: baseline.measurement(),
            lift: self.lift(ours, &baseline),
            incumbent: None,
            cold_items: None,
            by_activity: match (ours, &baseline) {
                (Scores::Ranked(ours), Scores::Ranked(theirs)) => ours.by_activity(theirs, self.training),
                (Scores::Ranked(_) | Scores::Rated(_), _) => Vec::new(),
            },
        }
    }
}

impl Scores {
    fn users(&self) -> usize {
        match self {
            Self::Ranked(ranked) => ranked.users(),
            Self::Rated(rated) => rated.users(),
        }
    }

    fn measurement(&self) -> Measurement {
        match self {
            Self::Ranked(ranked) => ranked.measurement(),
            Self::Rated(rated) => rated.measurement(),
        }
    }
}

/// For each interaction whether it is kept for measuring; `None` when no useful split exists. `already` are kept for something
/// else: the split is one of the rest.
pub(super) fn kept_for_measuring(
    config: &TrainingConfig,
    merged: &Merged,
    already: Option<&[bool]>,
) -> Result<Option<Vec<bool>>, Stop> {
    let holdout = config.evaluation.holdout;
    // Another split by the same hash would keep nothing of the rest.
    let seed = already.map_or(config.seed, |_| config.seed.wrapping_add(1));
    let mut kept: Vec<bool> = match (config.evaluation.split, &merged.times) {
        (Some(SplitKind::Time), None) => {
            return Err(Stop::bad_data(
                "spec.evaluation.split is time, but the data has no timestamps: set spec.data.columns.timestamp, or \
                 spec.evaluation.split to random",
            ));
        }
        (Some(SplitKind::Time) | None, Some(times)) => {
            let free = times.iter().enumerate().filter(|(position, _)| is_free(already, *position));
            let free: Vec<f64> = free.map(|(_, micros)| *micros as f64).collect();
            match split::time_cut(&free, holdout) {
                Some(cut) => times.iter().map(|micros| *micros as f64 > cut).collect(),
                None => return Ok(None),
            }
        }
        (Some(SplitKind::Random), _) | (None, None) => merged
            .users()
            .zip(&merged.items)
            .map(|(user, item)| {
                let user = merged.user_ids.get(user as usize).unwrap_or_default();
                let item = merged.item_ids.get(*item as usize).unwrap_or_default();
                split::held_out_by_hash(seed, user.as_bytes(), item.as_bytes(), holdout)
            })
            .collect(),
    };
    for (position, kept) in kept.iter_mut().enumerate() {
        *kept = *kept && is_free(already, position);
    }
    let count = kept.iter().filter(|kept| **kept).count();
    let free = (0..kept.len()).filter(|position| is_free(already, *position)).count();
    Ok((count > 0 && count < free).then_some(kept))
}
