//! Evaluation of models and baselines on the held-out set of one split.
//!
//! Only users with a history in the training or fold-in part are evaluated: for others the model
//! knows no more than the baseline. Lists exclude the user's history, and in a comparison with the
//! serving revision also the pairs that the revision knows. Availability of items is
//! ignored because the held-out interactions are from the past.

use factorization::{Interactions, Lift, Model, recent_popularity};
use sidecar_contract::{ActivityGroup, Interval, Measurement, Signal, TrainingConfig};

use super::{
    parts::Parts,
    ranked::RankingEvaluation,
    rated::{BiasBaseline, RatingEvaluation},
    revision::ServingRevision,
};

/// Minimum number of test users for a lift: a bootstrap interval over a handful of users is not
/// meaningful.
pub(super) const TEST_USERS_FOR_LIFT_MIN: usize = 20;

/// Maximum number of test users whose lists are computed without the limit of walks, which takes as
/// long as all rows of the data for each of them.
const UNLIMITED_USERS_MAX: usize = 500;

/// Evaluates models on one split.
pub(super) struct Evaluator<'a> {
    config: &'a TrainingConfig,
    parts: &'a Parts,
    /// For ratings only.
    bias_baseline: Option<BiasBaseline>,
}

/// Evaluation of a model or baseline.
pub(super) enum Scores {
    /// Evaluation of lists.
    Ranking(RankingEvaluation),
    /// Evaluation of predicted ratings, and of lists.
    Rating(RatingEvaluation),
}

/// Value of the gate's metric.
pub(super) struct Value {
    /// NDCG, or the root mean squared error.
    pub(super) metric: f64,
    /// Each user with the user's part of it, for paired comparisons; higher is better: NDCG, or minus
    /// the sum of squared errors.
    pub(super) by_user: Vec<(u32, f64)>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(config: &'a TrainingConfig, parts: &'a Parts) -> Self {
        let bias_baseline = match config.signal {
            Signal::Implicit => None,
            Signal::Explicit => BiasBaseline::fit(parts.training(), parts.folded_in()),
        };
        Self { config, parts, bias_baseline }
    }

    /// Evaluates a model; `None` if there are no test users.
    pub(super) fn evaluate(&self, model: &Model) -> Option<Scores> {
        let (k, unlisted, test) = self.inputs();
        let scores = match &self.bias_baseline {
            None => Scores::Ranking(RankingEvaluation::model(model, unlisted, test, k)),
            Some(bias_baseline) => Scores::Rating(RatingEvaluation::model(model, bias_baseline, unlisted, test, k)?),
        };
        (scores.users() > 0).then_some(scores)
    }

    /// Evaluates the serving revision with the users' histories folded in; `None` if there are no
    /// test users, or if it cannot predict them.
    pub(super) fn evaluate_revision(&self, revision: &ServingRevision<'_>) -> Option<Scores> {
        let (k, unlisted, test) = self.inputs();
        let history = self.parts.history();
        let lists = |users: &[u32]| revision.lists(users, history, unlisted, k);
        let scores = match &self.bias_baseline {
            None => Scores::Ranking(RankingEvaluation::of(unlisted, test, k, lists)),
            Some(bias_baseline) => {
                let predict = |user: u32, items: &[u32]| revision.ratings(user, items, history);
                Scores::Rating(RatingEvaluation::of(bias_baseline, unlisted, test, k, predict, lists))
            }
        };
        (scores.users() > 0).then_some(scores)
    }

    /// The metric of the gate only: the error of ratings needs no lists. `None` if there are no
    /// test users.
    pub(super) fn value(&self, model: &Model) -> Option<Value> {
        if self.bias_baseline.is_some() {
            let (metric, squares) = RatingEvaluation::rmse(model, self.parts.test())?;
            return Some(Value {
                metric,
                by_user: squares.into_iter().map(|(user, square)| (user, -square)).collect(),
            });
        }
        let (k, unlisted, test) = self.inputs();
        let scores = RankingEvaluation::model(model, unlisted, test, k);
        Some(Value { metric: scores.measurement().ndcg?, by_user: scores.ndcg_by_user() })
    }

    /// Fraction of NDCG that the lists of a sample of the test users lose because walks of the
    /// two-hop term are limited; `None` without a term, or if no list has a hit.
    pub(super) fn limit_loss(&self, mut model: Model) -> Option<f64> {
        let (k, unlisted, _) = self.inputs();
        let test = self.parts.test_of_sample(UNLIMITED_USERS_MAX, self.config.seed);
        let ndcg = |model: &Model| RankingEvaluation::model(model, unlisted, &test, k).measurement().ndcg;
        let limited = ndcg(&model)?;
        model.two_hop.as_mut()?.remove_limit();
        let unlimited = ndcg(&model).filter(|ndcg| *ndcg > 0.0)?;
        Some(1.0 - limited / unlimited)
    }

    /// The baseline of the gate: popularity, or biases.
    pub(super) fn baseline(&self) -> Scores {
        let (k, unlisted, test) = self.inputs();
        match &self.bias_baseline {
            None => Scores::Ranking(RankingEvaluation::popularity(self.parts.training(), unlisted, test, k)),
            Some(bias_baseline) => Scores::Rating(RatingEvaluation::bias_baseline(bias_baseline, unlisted, test, k)),
        }
    }

    /// Lists of what was popular in `recent`, a part of the training part.
    pub(super) fn recent_baseline(&self, recent: &Interactions) -> Scores {
        let (k, unlisted, test) = self.inputs();
        let order = recent_popularity(recent, self.parts.training());
        Scores::Ranking(RankingEvaluation::constant_list(&order, unlisted, test, k))
    }

    /// Relative improvement of the candidate over the reference on the same users.
    pub(super) fn lift(&self, candidate: &Scores, reference: &Scores) -> Option<Interval> {
        if candidate.users() < TEST_USERS_FOR_LIFT_MIN || candidate.users() != reference.users() {
            return None;
        }
        let lift = match (candidate, reference) {
            (Scores::Ranking(candidate), Scores::Ranking(reference)) => candidate.lift(reference, self.config.seed),
            (Scores::Rating(candidate), Scores::Rating(reference)) => candidate.lift(reference, self.config.seed),
            (Scores::Ranking(_), Scores::Rating(_)) | (Scores::Rating(_), Scores::Ranking(_)) => None,
        };
        lift.map(|Lift { estimate, low, high }| Interval { estimate, low, high })
    }

    /// Means of groups of users by activity; empty for ratings.
    pub(super) fn by_activity(&self, candidate: &Scores, baseline: &Scores) -> Vec<ActivityGroup> {
        match (candidate, baseline) {
            (Scores::Ranking(candidate), Scores::Ranking(baseline)) => {
                candidate.by_activity(baseline, self.parts.history())
            }
            (Scores::Ranking(_) | Scores::Rating(_), _) => Vec::new(),
        }
    }

    /// Length of the lists, the pairs that they exclude, and the held-out set.
    fn inputs(&self) -> (usize, &'a Interactions, &'a Interactions) {
        (self.config.evaluation.k as usize, self.parts.unlisted(), self.parts.test())
    }
}

impl Scores {
    pub(super) fn users(&self) -> usize {
        match self {
            Self::Ranking(ranked) => ranked.users(),
            Self::Rating(rated) => rated.users(),
        }
    }

    pub(super) fn measurement(&self) -> Measurement {
        match self {
            Self::Ranking(ranked) => ranked.measurement(),
            Self::Rating(rated) => rated.measurement(),
        }
    }

    /// Name of the gate's metric.
    pub(super) fn metric(&self) -> &'static str {
        match self {
            Self::Ranking(_) => "ndcg",
            Self::Rating(_) => "rmse",
        }
    }
}
