//! The quality gate: what the measured lift of a model must reach before it serves. The operator
//! decides by it; the run report shows its verdict.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{hash::Digest, metrics::Metrics};

/// What a model must reach before it serves: `spec.evaluation.gate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Minimum of the lower bound of the lift over the baseline.
    pub min_lift_over_baseline: f64,
    /// Maximum relative loss compared with the serving model; absent: not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_regression: Option<f64>,
}

/// Verdict of the gate on a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateVerdict {
    /// The lower bound of the lift over the baseline reaches the required value.
    Passed {
        /// Lower bound of the lift over the baseline.
        low: f64,
    },
    /// The lower bound of the lift over the baseline is below the required value.
    Failed {
        /// Lower bound of the lift over the baseline.
        low: f64,
        /// [`Gate::min_lift_over_baseline`].
        required: f64,
    },
    /// The model is better than the baseline, but may be worse than the model that served when it
    /// was trained.
    Regressed {
        /// Lower bound of the lift over that model.
        low: f64,
        /// Maximum loss that passes: [`Gate::max_regression`].
        allowed: f64,
    },
    /// There is no comparison with the baseline.
    Unknown,
}

impl GateVerdict {
    /// Whether the gate permits the model to serve: it passed, or there was no comparison.
    pub fn may_serve(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Unknown)
    }
}

impl Gate {
    /// Evaluates a model by its metrics.
    pub fn verdict(&self, metrics: Option<&Metrics>) -> GateVerdict {
        let Some((metrics, lift)) = metrics.and_then(|metrics| Some((metrics, metrics.lift?))) else {
            return GateVerdict::Unknown;
        };
        let required = self.min_lift_over_baseline;
        if lift.low < required {
            return GateVerdict::Failed { low: lift.low, required };
        }
        // If no model served, there is no regression to measure.
        match (self.max_regression, &metrics.incumbent) {
            (Some(allowed), Some(incumbent)) if incumbent.lift.low < -allowed => {
                GateVerdict::Regressed { low: incumbent.lift.low, allowed }
            }
            _ => GateVerdict::Passed { low: lift.low },
        }
    }

    /// The strictest gate in whole percent that these metrics pass and that is not stricter than
    /// this one; `None` if the resource allows no such gate.
    pub fn accepting(&self, metrics: &Metrics) -> Option<Self> {
        let lift = metrics.lift?;
        let min_lift_over_baseline = self.min_lift_over_baseline.min(down_to_percent(lift.low));
        let max_regression = match (self.max_regression, &metrics.incumbent) {
            (Some(allowed), Some(incumbent)) => Some(allowed.max(-down_to_percent(incumbent.lift.low))),
            (allowed, _) => allowed,
        };
        let accepting = Self { min_lift_over_baseline, max_regression };
        let is_valid = min_lift_over_baseline >= -1.0 && max_regression.is_none_or(|allowed| allowed <= 1.0);
        (is_valid && accepting.verdict(Some(metrics)).may_serve()).then_some(accepting)
    }
}

impl Gate {
    /// The merge patch of `spec` by which the model with these metrics serves: a less strict gate,
    /// or if the resource allows no such gate, a pin of the revision.
    pub fn accepting_patch(&self, metrics: Option<&Metrics>, digest: &Digest) -> Value {
        let Some(accepting) = metrics.and_then(|metrics| self.accepting(metrics)) else {
            return json!({"model": {"revision": digest.revision()}});
        };
        let mut changed = Map::new();
        if accepting.min_lift_over_baseline < self.min_lift_over_baseline {
            changed.insert("minLiftOverBaseline".to_owned(), json!(accepting.min_lift_over_baseline));
        }
        if accepting.max_regression != self.max_regression {
            changed.insert("maxRegression".to_owned(), json!(accepting.max_regression));
        }
        json!({"evaluation": {"gate": changed}})
    }
}

/// The command that applies a merge patch of `spec` to a Recommender.
pub fn patch_command(namespace: &str, name: &str, spec: &Value) -> String {
    format!("kubectl -n {namespace} patch recommender {name} --type merge -p '{}'", json!({ "spec": spec }))
}

/// The next lower whole percent.
fn down_to_percent(fraction: f64) -> f64 {
    (100.0 * fraction).floor() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metrics(low: f64, incumbent: Option<f64>) -> Metrics {
        let digest = Digest::of(b"a");
        let interval = |low: f64| json!({"estimate": low + 0.1, "low": low, "high": low + 0.2});
        serde_json::from_value(json!({
            "metric": "ndcg", "k": 10, "testUsers": 100, "model": {}, "baseline": {}, "lift": interval(low),
            "incumbent": incumbent.map(|low| json!({"digest": digest, "lift": interval(low)})),
        }))
        .unwrap()
    }

    #[test]
    fn the_lower_bounds_decide() {
        let gate = Gate { min_lift_over_baseline: 0.05, max_regression: Some(0.02) };
        assert_eq!(gate.verdict(None), GateVerdict::Unknown);
        assert_eq!(gate.verdict(Some(&metrics(0.05, None))), GateVerdict::Passed { low: 0.05 });
        assert_eq!(gate.verdict(Some(&metrics(0.04, None))), GateVerdict::Failed { low: 0.04, required: 0.05 });
        let regressed = GateVerdict::Regressed { low: -0.03, allowed: 0.02 };
        assert_eq!(gate.verdict(Some(&metrics(0.05, Some(-0.03)))), regressed);
        assert!(gate.verdict(Some(&metrics(0.05, Some(-0.02)))).may_serve());
    }

    #[test]
    fn an_accepting_gate_is_as_strict_as_the_metrics_allow() {
        let gate = Gate { min_lift_over_baseline: 0.05, max_regression: Some(0.02) };
        let accepting = |low, incumbent| gate.accepting(&metrics(low, incumbent));
        let is = |min_lift_over_baseline, max_regression| {
            Some(Gate { min_lift_over_baseline, max_regression: Some(max_regression) })
        };
        assert_eq!(accepting(-0.005, None), is(-0.01, 0.02));
        assert_eq!(accepting(-0.005, Some(-0.031)), is(-0.01, 0.04));
        assert_eq!(accepting(0.3, Some(-0.031)), is(0.05, 0.04));
        assert_eq!(accepting(-1.2, None), None);
        assert_eq!(accepting(0.1, Some(-1.2)), None);
    }

    #[test]
    fn a_patch_lowers_the_gate_or_pins_the_revision() {
        let (gate, digest) = (Gate::default(), Digest::of(b"a"));
        let patch = gate.accepting_patch(Some(&metrics(-0.005, None)), &digest);
        assert_eq!(patch, json!({"evaluation": {"gate": {"minLiftOverBaseline": -0.01}}}));
        let pin = json!({"model": {"revision": digest.revision()}});
        assert_eq!(gate.accepting_patch(Some(&metrics(-1.2, None)), &digest), pin);
        assert_eq!(gate.accepting_patch(None, &digest), pin);
        let command = patch_command("shop", "films", &patch);
        let expected = r#"kubectl -n shop patch recommender films --type merge -p '{"spec":{"evaluation":{"gate":{"minLiftOverBaseline":-0.01}}}}'"#;
        assert_eq!(command, expected);
    }
}
