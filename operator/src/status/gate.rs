//! The condition of the quality gate: what was measured, what would help, and the one command that
//! accepts the model.

use std::fmt::Write as _;

use recommender_crds::{ConditionType, Reason, Signal, condition::ConditionUpdate};
use sidecar_contract::{Algorithm, GateVerdict, Interval, Metrics, patch_command};

use super::{StatusInput, percent};
use crate::{
    decide::{Choice, Judged},
    validate::Plan,
};

/// The condition `QualityGatePassed`.
pub(super) fn condition(input: StatusInput<'_>) -> ConditionUpdate {
    let kind = ConditionType::QualityGatePassed;
    if input.choice() == Choice::Pinned {
        return pinned(input);
    }
    let Some(judged) = &input.decision.gate else {
        return ConditionUpdate::unknown(kind, Reason::NotEvaluated, "no model has been trained yet");
    };
    match judged.verdict {
        GateVerdict::Passed { .. } => ConditionUpdate::is(kind, Reason::GatePassed, measured(judged)),
        GateVerdict::Failed { .. } => ConditionUpdate::is_not(kind, Reason::GateFailed, failed(input, judged)),
        GateVerdict::Regressed { .. } => ConditionUpdate::is_not(kind, Reason::Regressed, failed(input, judged)),
        GateVerdict::Unknown => {
            let message = format!(
                "{}: the held-out set has too few users for a comparison with the baseline, so the gate does not apply",
                named(judged)
            );
            ConditionUpdate::unknown(kind, Reason::TooFewTestUsers, message)
        }
    }
}

/// Verdict of the gate on the pinned revision, which serves regardless.
fn pinned(input: StatusInput<'_>) -> ConditionUpdate {
    let pin = input.plan.pin().unwrap_or_default();
    let status = match input.decision.gate.as_ref().map(|judged| judged.verdict) {
        Some(GateVerdict::Passed { .. }) => Some(true),
        Some(GateVerdict::Failed { .. } | GateVerdict::Regressed { .. }) => Some(false),
        Some(GateVerdict::Unknown) | None => None,
    };
    let message =
        format!("model.revision pins {pin}, which serves regardless of the gate; remove the field to unpin it");
    ConditionUpdate { condition: ConditionType::QualityGatePassed, status, reason: Reason::PinnedByUser, message }
}

fn named(judged: &Judged) -> String {
    format!("revision {} (run {})", judged.digest.revision(), judged.run)
}

/// What was measured of a model.
fn measured(judged: &Judged) -> String {
    let Some((metrics, lift)) = judged.metrics.as_ref().and_then(|metrics| Some((metrics, metrics.lift?))) else {
        return named(judged);
    };
    let value = metric(metrics).map(|value| format!("{value}, ")).unwrap_or_default();
    let mut text = format!(
        "{}: {value}{} compared with the {}, 95 % interval {} ({} test users)",
        named(judged),
        percent(lift.estimate),
        baseline(metrics),
        interval(lift),
        metrics.test_users
    );
    if let Some(lift) = metrics.recent_baseline.as_ref().and_then(|recent| recent.lift) {
        let _ = write!(text, "; {} compared with recent popularity, {}", percent(lift.estimate), interval(lift));
    }
    if let Some(comparison) = &metrics.incumbent {
        let lift = comparison.lift;
        let reference = comparison.reference_description();
        let _ = write!(text, "; {} compared with {reference}, {}", percent(lift.estimate), interval(lift));
        if let Some(users) = comparison.test_users {
            let _ = write!(text, " ({users} test users)");
        }
    }
    text
}

fn interval(lift: Interval) -> String {
    format!("{} to {}", percent(lift.low), percent(lift.high))
}

/// The metric of the gate and its value: `ndcg@10 0.214`.
fn metric(metrics: &Metrics) -> Option<String> {
    if metrics.metric == "rmse" {
        return metrics.model.rmse.map(|rmse| format!("rmse {rmse:.3}"));
    }
    metrics.model.ndcg.map(|ndcg| format!("ndcg@{} {ndcg:.3}", metrics.k))
}

fn baseline(metrics: &Metrics) -> &'static str {
    if metrics.metric == "rmse" { "bias baseline" } else { "popularity baseline" }
}

/// What was measured of a model that the gate does not accept, and what to do.
pub(super) fn failed(input: StatusInput<'_>, judged: &Judged) -> String {
    let required = match judged.verdict {
        GateVerdict::Failed { required, .. } => {
            format!("the lower bound must reach evaluation.gate.minLiftOverBaseline ({})", percent(required))
        }
        GateVerdict::Regressed { low, allowed } => format!(
            "compared with the serving revision the lower bound is {}, and evaluation.gate.maxRegression allows {}",
            percent(low),
            percent(-allowed)
        ),
        GateVerdict::Passed { .. } | GateVerdict::Unknown => return measured(judged),
    };
    let advice = advice(input.plan, judged);
    let patch = input.plan.gate().accepting_patch(judged.metrics.as_ref(), &judged.digest);
    let command = patch_command(&input.plan.namespace, &input.plan.name, &patch);
    format!("{}; {required}. {advice}. To accept this model: {command}", measured(judged))
}

/// What may improve the model, among what the spec does not do yet.
fn advice(plan: &Plan, judged: &Judged) -> &'static str {
    let estimate = judged.metrics.as_ref().and_then(|metrics| metrics.lift).map(|lift| lift.estimate);
    let is_too_uncertain = match judged.verdict {
        GateVerdict::Failed { required, .. } => estimate.is_some_and(|estimate| estimate >= required),
        GateVerdict::Regressed { .. } | GateVerdict::Passed { .. } | GateVerdict::Unknown => false,
    };
    let als = match &plan.training.algorithm {
        Algorithm::Als(als) => Some(als),
        _ => None,
    };
    match als {
        Some(_) if plan.training.tuning.is_none() => {
            "training.tuning: {} searches for better parameters; more data narrows the interval"
        }
        Some(als) if plan.data.signal == Signal::Explicit && als.samples == 0 => {
            "algorithm.als.sampling: {} predicts ratings more accurately; more data narrows the interval"
        }
        _ if is_too_uncertain => "The estimate reaches it: more data narrows the interval",
        _ => "More data, item attributes or another signal may improve it",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sidecar_contract::Digest;

    use super::*;

    #[test]
    fn the_message_names_what_was_compared() {
        let lift = |estimate: f64| json!({"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1});
        let measured_with = |reference: &str| {
            let metrics = serde_json::from_value(json!({
                "metric": "ndcg", "k": 10, "testUsers": 100, "model": {"ndcg": 0.3}, "baseline": {"ndcg": 0.2},
                "lift": lift(0.5), "recentBaseline": {"since": 1, "measurement": {}, "lift": lift(0.2)},
                "incumbent": {
                    "digest": Digest::of(b"a"), "reference": reference, "testUsers": 40, "lift": lift(0.05),
                },
            }));
            measured(&Judged {
                digest: Digest::of(b"b"),
                run: 2,
                metrics: Some(metrics.unwrap()),
                verdict: GateVerdict::Unknown,
                data_fault: None,
            })
        };
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let expected = |reference: &str| {
            format!(
                "revision {} (run 2): ndcg@10 0.300, +50.0 % compared with the popularity baseline, 95 % interval +40.0 % to \
                 +60.0 % (100 test users); +20.0 % compared with recent popularity, +10.0 % to +30.0 %; +5.0 % compared with \
                 {reference}, -5.0 % to +15.0 % (40 test users)",
                b.revision()
            )
        };
        let revision = format!("the serving revision {} on rows that are newer than its own", a.revision());
        assert_eq!(measured_with("revision"), expected(&revision));
        let parameters = format!("the parameters of the serving revision {}, fitted to the same rows", a.revision());
        assert_eq!(measured_with("parameters"), expected(&parameters));
    }
}
