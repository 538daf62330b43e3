//! The model that serves, and the history of models.

use std::collections::BTreeSet;

use recommender_crds::{
    HISTORY_ENTRIES_MAX, HistoryEntry, Interval, Measurement, ModelMetrics, ModelParameters, ModelSearch, ModelStatus,
    SEARCHED_ALGORITHMS_MAX, SearchedAlgorithm, ServingMode,
};
use sidecar_contract::{Algorithm, Metrics, RunOutcome, RunResult, SearchSummary, Trial};

use super::{StatusInput, serving, time};
use crate::decide::result_digest;

/// The newest models in the store; of runs that trained the same revision, the newest.
pub(super) fn history(input: StatusInput<'_>) -> Vec<HistoryEntry> {
    let mut trained: Vec<(&RunResult, ModelStatus)> =
        input.results().filter_map(|result| Some((result, model(result)?))).collect();
    trained.sort_by_key(|(result, _)| std::cmp::Reverse(result.run.number));
    let mut listed = BTreeSet::new();
    trained.retain(|(_, model)| listed.insert(model.digest.clone()));
    let entry = |(result, model): (&RunResult, ModelStatus)| HistoryEntry {
        run: result.run.number,
        metric: metric_text(&model),
        revision: model.revision,
        digest: model.digest,
        trained_at: model.trained_at,
    };
    trained.into_iter().take(HISTORY_ENTRIES_MAX).map(entry).collect()
}

/// The desired model, also if only its popularity ranking serves. Its values are taken from its run
/// result, or from the current status if the result was deleted.
pub(super) fn serving(input: StatusInput<'_>) -> Option<ModelStatus> {
    let desired = input.desired()?;
    let of_run = input.results().filter(|r| result_digest(r) == Some(&desired.digest)).max_by_key(|r| r.run.number);
    let model = of_run.and_then(model).or_else(|| {
        let current = input.before.model.clone().filter(|model| model.digest == desired.digest.as_str());
        Some(current.unwrap_or_else(|| ModelStatus {
            revision: desired.digest.revision().to_owned(),
            digest: desired.digest.as_str().to_owned(),
            snapshot_bytes: desired.snapshot_bytes,
            metrics: desired.metrics.as_ref().map(model_metrics),
            trained_at: time(desired.trained_at),
            ..ModelStatus::default()
        }))
    })?;
    let serving_mode =
        if serving::is_popularity_only(input) { ServingMode::PopularityOnly } else { ServingMode::Personalized };
    Some(ModelStatus { serving_mode, ..model })
}

fn model(result: &RunResult) -> Option<ModelStatus> {
    let RunOutcome::Trained {
        digest,
        snapshot_bytes,
        algorithm,
        parameters,
        users,
        items,
        interactions,
        metrics,
        trials,
        search,
        ..
    } = &result.outcome
    else {
        return None;
    };
    Some(ModelStatus {
        revision: digest.revision().to_owned(),
        digest: digest.as_str().to_owned(),
        serving_mode: ServingMode::Personalized,
        algorithm: algorithm.clone(),
        parameters: parameters.as_ref().and_then(parameters_of),
        search: search.as_ref().map(|summary| model_search(summary, trials)),
        run: result.run.number,
        users: *users,
        items: *items,
        interactions: *interactions,
        snapshot_bytes: *snapshot_bytes,
        metrics: metrics.as_ref().map(model_metrics),
        trained_at: time(result.finished_at),
    })
}

/// Parameters of the algorithm by their names in the spec; `None` if they are not parameters of
/// this version.
fn parameters_of(algorithm: &Algorithm) -> Option<ModelParameters> {
    if algorithm.unknown().is_some() {
        return None;
    }
    serde_json::from_value(serde_json::Value::Object(algorithm.parameters())).ok()
}

/// Maximum size of the reason why an algorithm is limited, in bytes.
const LIMITED_REASON_BYTES_MAX: usize = 256;

fn truncated(reason: &str) -> String {
    if reason.len() <= LIMITED_REASON_BYTES_MAX {
        return reason.to_owned();
    }
    let end = reason.floor_char_boundary(LIMITED_REASON_BYTES_MAX - "…".len());
    format!("{}…", reason.get(..end).unwrap_or_default())
}

/// The search by algorithm: trials are sorted best first, so the first one of an algorithm is its
/// best.
fn model_search(summary: &SearchSummary, trials: &[Trial]) -> ModelSearch {
    let mut algorithms: Vec<SearchedAlgorithm> = Vec::new();
    for trial in trials.iter().filter(|trial| trial.iterations_run > 0) {
        let name = trial.parameters.name();
        match algorithms.iter_mut().find(|known| known.name == name) {
            Some(known) => known.trials += 1,
            None => algorithms.push(SearchedAlgorithm {
                name: name.to_owned(),
                trials: 1,
                value: trial.value,
                standard_errors_below_best: trial.standard_errors_below_best,
                limited: String::new(),
            }),
        }
    }
    for limited in summary.limited.iter().take(SEARCHED_ALGORITHMS_MAX) {
        let reason = truncated(&limited.reason);
        match algorithms.iter_mut().find(|known| known.name == limited.name) {
            Some(known) => known.limited = reason,
            None => algorithms.push(SearchedAlgorithm {
                name: limited.name.clone(),
                limited: reason,
                ..SearchedAlgorithm::default()
            }),
        }
    }
    algorithms.truncate(SEARCHED_ALGORITHMS_MAX);
    ModelSearch { fits: summary.fits, stopped_by_time: summary.stopped_by_time, algorithms }
}

fn model_metrics(metrics: &Metrics) -> ModelMetrics {
    let measurement =
        |m: &sidecar_contract::Measurement| Measurement { recall: m.recall, ndcg: m.ndcg, rmse: m.rmse, mae: m.mae };
    ModelMetrics {
        metric: metrics.metric.clone(),
        k: metrics.k,
        test_users: metrics.test_users,
        model: measurement(&metrics.model),
        baseline: measurement(&metrics.baseline),
        lift: metrics.lift.map(|lift| Interval { estimate: lift.estimate, low: lift.low, high: lift.high }),
    }
}

/// Text of the printer column: the metric that the gate uses.
pub(super) fn metric_text(model: &ModelStatus) -> String {
    let Some(metrics) = &model.metrics else { return "not measured".to_owned() };
    // Explicit data has both metrics; the gate uses the error.
    let (name, value) = match (metrics.model.rmse, metrics.model.ndcg) {
        (Some(rmse), _) => ("rmse".to_owned(), rmse),
        (None, Some(ndcg)) => (format!("ndcg@{}", metrics.k), ndcg),
        (None, None) => return "not measured".to_owned(),
    };
    let lift = metrics.lift.map(|lift| format!(" ({:+.0} %)", 100.0 * lift.estimate)).unwrap_or_default();
    format!("{name} {value:.3}{lift}")
}

#[cfg(test)]
mod tests {
    use sidecar_contract::LimitedAlgorithm;

    use super::*;

    #[test]
    fn a_search_is_shown_by_algorithm() {
        let trials: Vec<Trial> = serde_json::from_value(serde_json::json!([
            {"parameters": {"als": {}}, "iterationsRun": 15, "value": 0.5},
            {"parameters": {"bpr": {}}, "iterationsRun": 100, "value": 0.4, "standardErrorsBelowBest": 2.5},
            {"parameters": {"als": {"factors": 8}}, "iterationsRun": 4, "value": 0.3, "standardErrorsBelowBest": 6.0},
            {"parameters": {"svd": {}}, "iterationsRun": 0},
        ]))
        .unwrap();
        let limited = |name: &str, factors_max, reason: &str| LimitedAlgorithm {
            name: name.to_owned(),
            factors_max,
            reason: reason.to_owned(),
        };
        let limited = vec![limited("bpr", Some(8), "memory"), limited("svd", None, &"m".repeat(1000))];
        let search = model_search(&SearchSummary { fits: 5, stopped_by_time: true, limited }, &trials);
        let expected = serde_json::json!({"fits": 5, "stoppedByTime": true, "algorithms": [
            {"name": "als", "trials": 2, "value": 0.5},
            {"name": "bpr", "trials": 1, "value": 0.4, "standardErrorsBelowBest": 2.5, "limited": "memory"},
            {"name": "svd", "trials": 0, "limited": format!("{}…", "m".repeat(253))},
        ]});
        assert_eq!(serde_json::to_value(search).unwrap(), expected);
    }

    #[test]
    fn the_metric_column_shows_the_metric_of_the_gate() {
        let text = |metrics: serde_json::Value| {
            metric_text(&ModelStatus { metrics: serde_json::from_value(metrics).unwrap(), ..ModelStatus::default() })
        };
        let ranked = serde_json::json!({"metric": "ndcg", "k": 20, "model": {"ndcg": 0.4123, "recall": 0.3},
            "lift": {"estimate": 0.234, "low": 0.2, "high": 0.3}});
        assert_eq!(text(ranked), "ndcg@20 0.412 (+23 %)");
        let rated = serde_json::json!({"metric": "rmse", "k": 10, "model": {"rmse": 0.9114, "mae": 0.7, "ndcg": 0.1},
            "lift": {"estimate": 0.032, "low": 0.01, "high": 0.05}});
        assert_eq!(text(rated), "rmse 0.911 (+3 %)");
        assert_eq!(text(serde_json::json!({"metric": "rmse", "model": {"rmse": 1.5}})), "rmse 1.500");
        assert_eq!(text(serde_json::Value::Null), "not measured");
    }
}
