//! Evaluation of the model on the held-out set, compared with the baseline and with the serving
//! model.
//!
//! Only users with a history in the training or fold-in part are evaluated: for others the model
//! knows no more than the baseline. Lists exclude the user's history. Availability of items is
//! ignored because the held-out interactions are from the past.

use factorization::{Interactions, Lift, Model, ValidParams};
use sidecar_contract::{
    Comparison, EvaluationConfig, Incumbent, Interval, Measurement, Metrics, Signal, SplitKind, TrainingConfig,
};

use super::{
    fit, interactions,
    ranked::RankingEvaluation,
    rated::{BiasBaseline, RatingEvaluation},
    split::{self, Subset, is_in, split},
};
use crate::{
    failure::{FailureReason, RunError, chain},
    merge::InteractionTable,
    progress::{Event, Progress, Step},
    weights::SplitWeighting,
};

/// Minimum number of test users for a lift: a bootstrap interval over a handful of users is not
/// meaningful.
const TEST_USERS_FOR_LIFT_MIN: usize = 20;

/// Evaluates the parameters; `None` if training part or held-out set is empty, or if there are no
/// test users.
pub(super) fn measure(
    config: &TrainingConfig,
    params: &ValidParams,
    table: &InteractionTable,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, RunError> {
    progress.event(&Event::Step(Step::Split));
    let Some(subsets) = split(config, table, None)? else { return Ok(None) };
    let Some(parts) = Parts::new(config, table, &subsets)? else { return Ok(None) };
    progress.event(&Event::Step(Step::Fit));
    let model = parts.fit(params, config, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let evaluator = Evaluator::new(config, &parts);
    let Some(candidate) = evaluator.evaluate(&model) else { return Ok(None) };
    let mut metrics = evaluator.metrics(&candidate);
    metrics.split = Some(split::kind(config, table)?.into());
    if let Some(incumbent) = &config.incumbent {
        metrics.incumbent = compare_with_incumbent(config, incumbent, &evaluator, &candidate, progress)?;
    }
    progress.event(&Event::Measured(&metrics));
    Ok(Some(metrics))
}

/// Training part and held-out set of a split.
pub(super) struct Parts {
    training: Interactions,
    /// Histories of users who are excluded from the fit.
    folded_in: Option<Interactions>,
    /// Held-out interactions of users with a history.
    test: Interactions,
}

impl Parts {
    /// The parts of a split; `None` if there are no test users.
    pub(super) fn new(
        config: &TrainingConfig,
        table: &InteractionTable,
        subsets: &[Subset],
    ) -> Result<Option<Self>, RunError> {
        let subset = |subset| move |position: usize| is_in(subsets, position, subset);
        let training = interactions(table, subset(Subset::Train))?;
        let weights = SplitWeighting::fit(&config.weights, table, &training, subset(Subset::Train));
        let training = weights.transform(training);
        let folded_in = subsets.contains(&Subset::FoldIn).then(|| interactions(table, subset(Subset::FoldIn)));
        let folded_in = folded_in.transpose()?.map(|rows| weights.transform(rows));
        let history = folded_in.as_ref().unwrap_or(&training);
        let is_known = |user: usize| match config.signal {
            Signal::Implicit => history.row(user).1.iter().any(|weight| *weight > 0.0),
            Signal::Explicit => !history.row(user).1.is_empty(),
        };
        // Held-out weights are not transformed: the evaluation needs only their signs, or the
        // ratings themselves.
        let test = interactions(table, subset(Subset::Test))?.keep_users(is_known);
        Ok((test.nnz() > 0).then_some(Self { training, folded_in, test }))
    }

    /// The same parts with only the test users that `keep` selects.
    pub(super) fn restrict_test_users(self, keep: impl Fn(usize) -> bool) -> Self {
        Self { test: self.test.keep_users(keep), ..self }
    }

    pub(super) fn training(&self) -> &Interactions {
        &self.training
    }

    pub(super) fn test(&self) -> &Interactions {
        &self.test
    }

    /// Histories of the test users.
    fn history(&self) -> &Interactions {
        self.folded_in.as_ref().unwrap_or(&self.training)
    }

    /// Fits a model to the training part and folds in the test users that are excluded from it.
    pub(super) fn fit(
        &self,
        params: &ValidParams,
        config: &TrainingConfig,
        progress: &dyn Progress,
    ) -> Result<Model, RunError> {
        let (model, _) = fit(&self.training, params, config.seed, None, progress)?;
        match &self.folded_in {
            None => Ok(model),
            Some(histories) => model.with_users(histories).map_err(|error| {
                let message = format!("cannot fold in the held-out users: {}", chain(&error));
                RunError::permanent(FailureReason::TrainingDiverged, message)
            }),
        }
    }
}

/// Number of users with both a history and held-out items in a split of this kind.
pub(crate) fn measurable_users(
    config: &TrainingConfig,
    table: &InteractionTable,
    kind: SplitKind,
) -> Result<u64, RunError> {
    let evaluation = EvaluationConfig { split: Some(kind), ..config.evaluation.clone() };
    let config = TrainingConfig { evaluation, ..config.clone() };
    let Some(subsets) = split(&config, table, None)? else { return Ok(0) };
    let Some(Parts { test, .. }) = Parts::new(&config, table, &subsets)? else { return Ok(0) };
    Ok((0..test.users()).filter(|user| !test.row(*user).1.is_empty()).count() as u64)
}

/// The lift over the incumbent's parameters when they are fitted to the same training part.
fn compare_with_incumbent(
    config: &TrainingConfig,
    incumbent: &Incumbent,
    evaluator: &Evaluator<'_>,
    candidate: &Scores,
    progress: &dyn Progress,
) -> Result<Option<Comparison>, RunError> {
    let lift = if incumbent.algorithm == config.algorithm {
        // Equal parameters on equal rows give the same model.
        evaluator.lift(candidate, candidate)
    } else {
        // Parameters of another signal may be invalid for this one: then there is no comparison.
        let Ok(params) = super::check(&TrainingConfig { algorithm: incumbent.algorithm.clone(), ..config.clone() })
        else {
            return Ok(None);
        };
        let model = evaluator.parts.fit(&params, config, progress)?;
        evaluator.evaluate(&model).and_then(|reference| evaluator.lift(candidate, &reference))
    };
    Ok(lift.map(|lift| Comparison { digest: incumbent.digest.clone(), lift }))
}

/// Evaluates models on one split.
pub(super) struct Evaluator<'a> {
    config: &'a TrainingConfig,
    parts: &'a Parts,
    /// For ratings only.
    bias_baseline: Option<BiasBaseline>,
}

/// Evaluation of a model or baseline.
enum Scores {
    /// Evaluation of lists.
    Ranking(RankingEvaluation),
    /// Evaluation of predicted ratings, and of lists.
    Rating(RatingEvaluation),
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(config: &'a TrainingConfig, parts: &'a Parts) -> Self {
        let bias_baseline = match config.signal {
            Signal::Implicit => None,
            Signal::Explicit => BiasBaseline::fit(&parts.training, parts.folded_in.as_ref()),
        };
        Self { config, parts, bias_baseline }
    }

    /// Evaluates a model; `None` if there are no test users.
    fn evaluate(&self, model: &Model) -> Option<Scores> {
        let (k, history, test) = (self.config.evaluation.k as usize, self.parts.history(), &self.parts.test);
        let scores = match &self.bias_baseline {
            None => Scores::Ranking(RankingEvaluation::model(model, history, test, k)),
            Some(bias_baseline) => Scores::Rating(RatingEvaluation::model(model, bias_baseline, history, test, k)?),
        };
        (scores.users() > 0).then_some(scores)
    }

    /// The metric of the gate only: the error of ratings needs no lists. `None` if there are no
    /// test users.
    pub(super) fn value(&self, model: &Model) -> Option<f64> {
        match &self.bias_baseline {
            None => self.evaluate(model)?.measurement().ndcg,
            Some(_) => RatingEvaluation::rmse(model, &self.parts.test),
        }
    }

    fn baseline(&self) -> Scores {
        let (k, history, test) = (self.config.evaluation.k as usize, self.parts.history(), &self.parts.test);
        match &self.bias_baseline {
            None => Scores::Ranking(RankingEvaluation::popularity(&self.parts.training, history, test, k)),
            Some(bias_baseline) => Scores::Rating(RatingEvaluation::bias_baseline(bias_baseline, history, test, k)),
        }
    }

    /// Relative improvement of the candidate over the reference on the same users.
    fn lift(&self, candidate: &Scores, reference: &Scores) -> Option<Interval> {
        if candidate.users() < TEST_USERS_FOR_LIFT_MIN {
            return None;
        }
        let lift = match (candidate, reference) {
            (Scores::Ranking(candidate), Scores::Ranking(reference)) => candidate.lift(reference, self.config.seed),
            (Scores::Rating(candidate), Scores::Rating(reference)) => candidate.lift(reference, self.config.seed),
            (Scores::Ranking(_), Scores::Rating(_)) | (Scores::Rating(_), Scores::Ranking(_)) => None,
        };
        lift.map(|Lift { estimate, low, high }| Interval { estimate, low, high })
    }

    fn metrics(&self, candidate: &Scores) -> Metrics {
        let baseline = self.baseline();
        Metrics {
            metric: match candidate {
                Scores::Ranking(_) => "ndcg",
                Scores::Rating(_) => "rmse",
            }
            .to_owned(),
            k: self.config.evaluation.k,
            split: None,
            test_users: candidate.users() as u64,
            model: candidate.measurement(),
            baseline: baseline.measurement(),
            lift: self.lift(candidate, &baseline),
            incumbent: None,
            cold_items: None,
            by_activity: match (candidate, &baseline) {
                (Scores::Ranking(candidate), Scores::Ranking(reference)) => {
                    candidate.by_activity(reference, self.parts.history())
                }
                (Scores::Ranking(_) | Scores::Rating(_), _) => Vec::new(),
            },
        }
    }
}

impl Scores {
    fn users(&self) -> usize {
        match self {
            Self::Ranking(ranked) => ranked.users(),
            Self::Rating(rated) => rated.users(),
        }
    }

    fn measurement(&self) -> Measurement {
        match self {
            Self::Ranking(ranked) => ranked.measurement(),
            Self::Rating(rated) => rated.measurement(),
        }
    }
}
