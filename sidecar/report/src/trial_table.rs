//! Trials of a search as a table: parameters that vary are columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sidecar_contract::{Algorithm, Trial};

/// Name of the column of algorithms.
pub(crate) const ALGORITHM: &str = "algorithm";

/// The parameters of trials as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialTable {
    /// Names of the parameters that differ between trials of an algorithm. The first is `algorithm`
    /// if there are several.
    pub columns: Vec<String>,
    /// Values of each trial; empty where its algorithm does not have the parameter.
    pub rows: Vec<Vec<String>>,
}

impl TrialTable {
    /// The table of these trials, in their order.
    pub fn new(trials: &[Trial]) -> Self {
        let mut of_algorithm: BTreeMap<&str, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for trial in trials {
            let values = of_algorithm.entry(trial.parameters.name()).or_default();
            for (name, value) in trial.parameters.parameters() {
                values.entry(name).or_default().insert(parameter_text(&value));
            }
        }
        for trial in trials {
            // A parameter that is 0 may be omitted.
            let parameters = trial.parameters.parameters();
            for (name, values) in of_algorithm.entry(trial.parameters.name()).or_default() {
                if !parameters.contains_key(name) {
                    values.insert(parameter_text(&Value::from(0)));
                }
            }
        }
        let varied: BTreeSet<&String> = of_algorithm
            .values()
            .flat_map(|parameters| parameters.iter().filter(|(_, values)| values.len() > 1).map(|(name, _)| name))
            .collect();
        let has_several = of_algorithm.len() > 1;
        let row = |trial: &Trial| {
            let parameters = trial.parameters.parameters();
            let known = of_algorithm.get(trial.parameters.name());
            let value = |name: &&String| match parameters.get(*name) {
                Some(value) => parameter_text(value),
                None if known.is_some_and(|known| known.contains_key(*name)) => parameter_text(&Value::from(0)),
                None => String::new(),
            };
            let algorithm = has_several.then(|| trial.parameters.name().to_owned());
            algorithm.into_iter().chain(varied.iter().map(value)).collect()
        };
        Self {
            rows: trials.iter().map(row).collect(),
            columns: has_several
                .then(|| ALGORITHM.to_owned())
                .into_iter()
                .chain(varied.iter().map(|name| (*name).clone()))
                .collect(),
        }
    }
}

/// A parameter as text; one without a value is chosen from the data.
fn parameter_text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => number.to_string(),
        None if value.is_null() => "automatic".to_owned(),
        None => value.to_string(),
    }
}

/// The algorithm and its parameters by name.
pub(crate) fn named(algorithm: &Algorithm) -> Vec<(String, String)> {
    let parameters = algorithm.parameters().into_iter().map(|(name, value)| (name, parameter_text(&value)));
    std::iter::once((ALGORITHM.to_owned(), algorithm.name().to_owned())).chain(parameters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(parameters: &[Value]) -> TrialTable {
        let trial = |parameters: &Value| {
            serde_json::from_value(json!({"parameters": parameters, "iterationsRun": 4, "value": 0.5})).unwrap()
        };
        TrialTable::new(&parameters.iter().map(trial).collect::<Vec<Trial>>())
    }

    #[test]
    fn parameters_that_vary_are_columns() {
        let table = table(&[
            json!({"als": {"factors": 8, "degreeExponent": 0.5, "regularization": 0.1}}),
            // The degree exponent is 0 and omitted.
            json!({"als": {"factors": 8, "regularization": null}}),
        ]);
        assert_eq!(table.columns, ["degreeExponent", "regularization"]);
        assert_eq!(table.rows, [["0.5", "0.1"], ["0", "automatic"]]);
    }

    #[test]
    fn a_parameter_of_another_algorithm_is_empty() {
        let table = table(&[
            json!({"svd": {"factors": 8, "degreeExponent": 0.25}}),
            json!({"svd": {"factors": 16, "degreeExponent": 0.25}}),
            json!({"bpr": {"factors": 8, "learningRate": 0.1}}),
            json!({"bpr": {"factors": 8, "learningRate": 0.2}}),
        ]);
        assert_eq!(table.columns, ["algorithm", "factors", "learningRate"]);
        assert_eq!(table.rows, [["svd", "8", ""], ["svd", "16", ""], ["bpr", "8", "0.1"], ["bpr", "8", "0.2"]]);
    }

    #[test]
    fn one_trial_has_no_columns() {
        assert_eq!(table(&[json!({"als": {}})]), TrialTable { columns: Vec::new(), rows: vec![Vec::new()] });
    }
}
