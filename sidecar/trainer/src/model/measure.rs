//! How good the model is on interactions that it has not seen, beside popularity.
//!
//! Only users with something in the training part are measured: others get the same popular items from both, which says
//! nothing of the model. Lists leave out what a user has met in training. Whether an item is available now plays no part:
//! the kept interactions are of the past.

use factorization::{
    Interactions, Model, RankingMetrics, ValidAlsParams, bootstrap_lift, evaluate_ranking, popularity, split,
};
use sidecar_contract::{Against, Interval, Measurement, Metrics, SplitKind, TrainingConfig};

use super::{fit, interactions};
use crate::{
    failure::Stop,
    merge::Merged,
    progress::{Event, Progress, Step},
};

/// With fewer measured users there is no lift: the interval of a bootstrap over a handful of users means nothing.
const TEST_USERS_FOR_LIFT_MIN: usize = 20;
/// Resamples of the bootstrap.
const BOOTSTRAP_RESAMPLES: usize = 1000;

/// `None` when nothing or everything falls into the kept part, or nobody can be measured.
pub(super) fn measure(
    config: &TrainingConfig,
    params: &ValidAlsParams,
    merged: &Merged,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, Stop> {
    progress.event(&Event::Step(Step::Split));
    let Some(kept) = kept_for_measuring(config, merged)? else { return Ok(None) };
    let is_kept = |position: usize| kept.get(position).copied().unwrap_or(false);
    let training = interactions(merged, |position| !is_kept(position))?;
    let likes = |user: usize| training.row(user).1.iter().any(|weight| *weight > 0.0);
    let known: Vec<bool> = (0..training.users()).map(likes).collect();
    let of_known: Vec<bool> = merged.users().map(|user| known.get(user as usize).copied().unwrap_or(false)).collect();
    let is_measured = |position: usize| is_kept(position) && of_known.get(position).copied().unwrap_or(false);
    let test = interactions(merged, is_measured)?;
    if test.nnz() == 0 {
        return Ok(None);
    }
    progress.event(&Event::Step(Step::Fit));
    let (model, _) = fit(&training, params, config.seed, progress)?;
    progress.event(&Event::Step(Step::Measure));
    let k = config.evaluation.k as usize;
    let scores = ranking_of(&model, &training, &test, k);
    let mut metrics = compare(config, &scores, &training, &test);
    if let (Some(metrics), Some(incumbent)) = (&mut metrics, &config.incumbent) {
        let of_incumbent = || {
            let params = super::check(&TrainingConfig { algorithm: incumbent.algorithm.clone(), ..config.clone() })?;
            let (model, _) = fit(&training, &params, config.seed, progress)?;
            Ok(ranking_of(&model, &training, &test, k))
        };
        // Equal parameters on equal rows are the same model.
        let theirs = if incumbent.algorithm == config.algorithm { None } else { Some(of_incumbent()?) };
        let lift = lift(&scores, theirs.as_ref().unwrap_or(&scores), config.seed);
        metrics.incumbent = lift.map(|lift| Against { digest: incumbent.digest.clone(), lift });
    }
    if let Some(metrics) = &metrics {
        progress.event(&Event::Measured(metrics));
    }
    Ok(metrics)
}

fn ranking_of(model: &Model, training: &Interactions, test: &Interactions, k: usize) -> RankingMetrics {
    evaluate_ranking(test, k, |user| {
        let met = training.row(user as usize).0;
        model.recommend(user as usize, k, met).into_iter().map(|scored| scored.item).collect()
    })
}

/// Relative lift of the mean NDCG, on the same users.
fn lift(ours: &RankingMetrics, theirs: &RankingMetrics, seed: u64) -> Option<Interval> {
    let ndcgs = |scores: &RankingMetrics| scores.users.iter().map(|user| user.ndcg).collect::<Vec<_>>();
    (ours.users.len() >= TEST_USERS_FOR_LIFT_MIN)
        .then(|| bootstrap_lift(&ndcgs(ours), &ndcgs(theirs), seed, BOOTSTRAP_RESAMPLES))
        .flatten()
        .map(|lift| Interval { estimate: lift.estimate, low: lift.low, high: lift.high })
}

fn compare(
    config: &TrainingConfig,
    of_model: &RankingMetrics,
    training: &Interactions,
    test: &Interactions,
) -> Option<Metrics> {
    let k = config.evaluation.k as usize;
    let (_, popular) = popularity(training);
    let met = |user: u32| training.row(user as usize).0;
    let of_baseline = evaluate_ranking(test, k, |user| {
        let met = met(user);
        popular.iter().filter(|item| met.binary_search(item).is_err()).take(k).copied().collect()
    });
    let test_users = of_model.users.len();
    if test_users == 0 {
        return None;
    }
    let lift = lift(of_model, &of_baseline, config.seed);
    let measurement =
        |scores: &RankingMetrics| Measurement { recall: scores.recall(), ndcg: scores.ndcg(), rmse: None };
    Some(Metrics {
        metric: "ndcg".to_owned(),
        k: config.evaluation.k,
        test_users: test_users as u64,
        model: measurement(of_model),
        baseline: measurement(&of_baseline),
        lift,
        incumbent: None,
    })
}

/// For each interaction whether it is kept for measuring; `None` when no useful split exists.
fn kept_for_measuring(config: &TrainingConfig, merged: &Merged) -> Result<Option<Vec<bool>>, Stop> {
    let holdout = config.evaluation.holdout;
    let kept: Vec<bool> = match (config.evaluation.split, &merged.times) {
        (Some(SplitKind::Time), None) => {
            return Err(Stop::bad_data(
                "spec.evaluation.split is time, but the data has no timestamps: set spec.data.columns.timestamp, or \
                 spec.evaluation.split to random",
            ));
        }
        (Some(SplitKind::Time) | None, Some(times)) => {
            let times: Vec<f64> = times.iter().map(|micros| *micros as f64).collect();
            match split::time_cut(&times, holdout) {
                Some(cut) => times.iter().map(|time| *time > cut).collect(),
                None => return Ok(None),
            }
        }
        (Some(SplitKind::Random), _) | (None, None) => merged
            .users()
            .zip(&merged.items)
            .map(|(user, item)| {
                let user = merged.user_ids.get(user as usize).unwrap_or_default();
                let item = merged.item_ids.get(*item as usize).unwrap_or_default();
                split::held_out_by_hash(config.seed, user.as_bytes(), item.as_bytes(), holdout)
            })
            .collect(),
    };
    let count = kept.iter().filter(|kept| **kept).count();
    Ok((count > 0 && count < kept.len()).then_some(kept))
}
