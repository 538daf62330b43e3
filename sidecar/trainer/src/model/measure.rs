//! How good the model is on interactions that it has not seen, beside its baseline and beside the model that serves.
//!
//! Only users with something in the training part, or folded in, are measured: of others the model knows no more than its baseline.
//! Lists leave out what a user has met there. Whether an item is available now plays no part: the kept interactions are of
//! the past.

use factorization::{Interactions, Lift, Model, ValidParams};
use sidecar_contract::{
    Against, EvaluationConfig, Incumbent, Interval, Measurement, Metrics, Signal, SplitKind, TrainingConfig,
};

use super::{
    fit, interactions,
    ranked::Ranked,
    rated::{Averages, Rated},
    split::{self, Place, is, split},
};
use crate::{
    failure::{FailureReason, Stop, chain},
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
    let Some(places) = split(config, merged, None)? else { return Ok(None) };
    let Some(parts) = Parts::of(config, merged, &places)? else { return Ok(None) };
    progress.event(&Event::Step(Step::Fit));
    let model = parts.fit(params, config, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let judge = Judge::new(config, &parts);
    let Some(ours) = judge.model(&model) else { return Ok(None) };
    let mut metrics = judge.metrics(&ours);
    metrics.split = Some(split::kind(config, merged)?);
    if let Some(incumbent) = &config.incumbent {
        metrics.incumbent = against(config, incumbent, &judge, &ours, progress)?;
    }
    progress.event(&Event::Measured(&metrics));
    Ok(Some(metrics))
}

/// Interactions to fit, and others to measure on, of users who are known.
pub(super) struct Parts {
    training: Interactions,
    /// Of users whom the fit does not see.
    folded_in: Option<Interactions>,
    test: Interactions,
}

impl Parts {
    /// As the split says; `None` when nobody can be measured.
    pub(super) fn of(config: &TrainingConfig, merged: &Merged, places: &[Place]) -> Result<Option<Self>, Stop> {
        let place = |place| move |position: usize| is(places, position, place);
        let training = interactions(merged, place(Place::Fitted))?;
        let weights = PartWeights::of(&config.weights, merged, &training, place(Place::Fitted));
        let training = weights.weigh(training);
        let folded_in = places.contains(&Place::FoldedIn).then(|| interactions(merged, place(Place::FoldedIn)));
        let folded_in = folded_in.transpose()?.map(|rows| weights.weigh(rows));
        let met = folded_in.as_ref().unwrap_or(&training);
        let is_known = |user: usize| match config.signal {
            Signal::Implicit => met.row(user).1.iter().any(|weight| *weight > 0.0),
            Signal::Explicit => !met.row(user).1.is_empty(),
        };
        // What is measured on is not weighed: it matters what was liked, or how it was rated.
        let test = interactions(merged, place(Place::Kept))?.keep_users(is_known);
        Ok((test.nnz() > 0).then_some(Self { training, folded_in, test }))
    }

    /// The same, measured on the users that are kept alone.
    pub(super) fn judged_by(self, keep: impl Fn(usize) -> bool) -> Self {
        Self { test: self.test.keep_users(keep), ..self }
    }

    pub(super) fn training(&self) -> &Interactions {
        &self.training
    }

    pub(super) fn test(&self) -> &Interactions {
        &self.test
    }

    /// What is known of the users that are measured.
    fn met(&self) -> &Interactions {
        self.folded_in.as_ref().unwrap_or(&self.training)
    }

    /// A model of the training part, which knows the users that are measured.
    pub(super) fn fit(
        &self,
        params: &ValidParams,
        config: &TrainingConfig,
        progress: &dyn Progress,
    ) -> Result<Model, Stop> {
        let (model, _) = fit(&self.training, params, config, None, progress)?;
        match &self.folded_in {
            None => Ok(model),
            Some(histories) => model.with_users(histories).map_err(|error| {
                let message = format!("users that the fit did not see cannot be folded in: {}", chain(&error));
                Stop::failed(FailureReason::TrainingDiverged, message)
            }),
        }
    }
}

/// Users whom a split of this kind leaves something to learn from and something to measure on.
pub(crate) fn measurable_users(config: &TrainingConfig, merged: &Merged, kind: SplitKind) -> Result<u64, Stop> {
    let evaluation = EvaluationConfig { split: Some(kind), ..config.evaluation.clone() };
    let config = TrainingConfig { evaluation, ..config.clone() };
    let Some(places) = split(&config, merged, None)? else { return Ok(0) };
    let Some(Parts { test, .. }) = Parts::of(&config, merged, &places)? else { return Ok(0) };
    Ok((0..test.users()).filter(|user| !test.row(*user).1.is_empty()).count() as u64)
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
        let model = judge.parts.fit(&params, config, progress)?;
        judge.model(&model).and_then(|theirs| judge.lift(ours, &theirs))
    };
    Ok(lift.map(|lift| Against { digest: incumbent.digest.clone(), lift }))
}

/// What all that are compared are held against.
pub(super) struct Judge<'a> {
    config: &'a TrainingConfig,
    parts: &'a Parts,
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
    pub(super) fn new(config: &'a TrainingConfig, parts: &'a Parts) -> Self {
        let averages = match config.signal {
            Signal::Implicit => None,
            Signal::Explicit => Averages::of(&parts.training, parts.folded_in.as_ref()),
        };
        Self { config, parts, averages }
    }

    /// `None` if nobody can be measured.
    fn model(&self, model: &Model) -> Option<Scores> {
        let (k, met, test) = (self.config.evaluation.k as usize, self.parts.met(), &self.parts.test);
        let scores = match &self.averages {
            None => Scores::Ranked(Ranked::model(model, met, test, k)),
            Some(averages) => Scores::Rated(Rated::model(model, averages, met, test, k)?),
        };
        (scores.users() > 0).then_some(scores)
    }

    /// What the gate looks at, and no more than that: the error of ratings needs no lists. `None` if nobody can be measured.
    pub(super) fn value(&self, model: &Model) -> Option<f64> {
        match &self.averages {
            None => self.model(model)?.measurement().ndcg,
            Some(_) => Rated::rmse(model, &self.parts.test),
        }
    }

    fn baseline(&self) -> Scores {
        let (k, met, test) = (self.config.evaluation.k as usize, self.parts.met(), &self.parts.test);
        match &self.averages {
            None => Scores::Ranked(Ranked::popularity(&self.parts.training, met, test, k)),
            Some(averages) => Scores::Rated(Rated::averages(averages, met, test, k)),
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
            split: None,
            test_users: ours.users() as u64,
            model: ours.measurement(),
            baseline: baseline.measurement(),
            lift: self.lift(ours, &baseline),
            incumbent: None,
            cold_items: None,
            by_activity: match (ours, &baseline) {
                (Scores::Ranked(ours), Scores::Ranked(theirs)) => ours.by_activity(theirs, self.parts.met()),
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
