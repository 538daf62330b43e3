//! `recmesh-sidecar tune`: searches hyperparameters for a file. Prints a table of the trials and a
//! resource fragment.

use std::fmt::Write as _;

use recommender_trainer::{Options, Tuned, describe_metrics, progress, tune};
use run_report::TrialTable;
use serde_json::{Map, Value};
use sidecar_contract::{Algorithm, ExitCode, Signal, Trial, TuningConfig};

use crate::{
    args::TuneArgs,
    commands::{report_error, training_config},
};

/// Runs the search. Prints all trials, the best parameters, and their metrics on the held-out set,
/// which the search does not use.
pub async fn run(args: TuneArgs) -> ExitCode {
    let mut config = match training_config(&args.data) {
        Ok(config) => config,
        Err(error) => return report_error(&error),
    };
    // auto is a search by itself.
    config.tuning = (!matches!(config.algorithm, Algorithm::Auto(_))).then_some(TuningConfig {
        trials: args.trials,
        budget_seconds: args.data.budget,
        factors_max: args.data.factors_max,
    });
    let progress = progress::for_standard_error();
    match tune(&config, &*progress, &Options::default()).await {
        Ok(tuned) if tuned.trials.is_empty() => {
            eprintln!("error: the validation set is empty; raise --holdout or provide more rows");
            ExitCode::BadData
        }
        Ok(tuned) => {
            let metric = match config.signal {
                Signal::Implicit => format!("ndcg@{}", config.evaluation.k),
                Signal::Explicit => "rmse".to_owned(),
            };
            print!("{}", table(&tuned.trials, &tuned.algorithm, &metric));
            print!("{}", resource(&tuned, config.signal));
            ExitCode::Done
        }
        Err(error) => report_error(&error),
    }
}

/// A line for each trial; `SEBELOWBEST` are standard errors below the best trial.
fn table(trials: &[Trial], chosen: &Algorithm, metric: &str) -> String {
    let TrialTable { columns, rows } = TrialTable::new(trials);
    let header = [metric.to_owned(), "SEBELOWBEST".to_owned(), "ITERATIONSRUN".to_owned()];
    let mut lines = vec![header.into_iter().chain(columns.iter().map(|name| name.to_uppercase())).collect::<Vec<_>>()];
    for (trial, row) in trials.iter().zip(rows) {
        let below = trial.standard_errors_below_best.map_or_else(|| "-".to_owned(), |below| format!("{below:.1}"));
        let first = [trial.value_text(), below, trial.iterations_run.to_string()];
        let note = (trial.parameters == *chosen).then(|| "chosen".to_owned());
        lines.push(first.into_iter().chain(row).chain(note).collect());
    }
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().enumerate().map(|(column, cell)| format!("{cell:>0$}", width(column))).collect();
        let _ = writeln!(text, "{}", cells.join("  "));
    }
    text
}

/// The `spec.algorithm` of a Recommender with the best parameters.
fn resource(tuned: &Tuned, signal: Signal) -> String {
    let mut text = "\n".to_owned();
    if let Some(metrics) = &tuned.metrics {
        let _ = writeln!(text, "# on the held-out set, which the search did not use: {}", describe_metrics(metrics));
    }
    let name = tuned.algorithm.name();
    let _ = writeln!(text, "spec:\n  algorithm:\n    {name}:");
    for (parameter, value) in spec_parameters(&tuned.algorithm, signal) {
        let _ = match parameter.as_str() {
            // A group in the resource.
            "samples" => writeln!(text, "      sampling: {{samples: {value}}}"),
            _ => writeln!(text, "      {parameter}: {value}"),
        };
    }
    text
}

/// The parameters for a resource. Of ratings only those that differ from the defaults: others may
/// be parameters of implicit data.
fn spec_parameters(algorithm: &Algorithm, signal: Signal) -> Map<String, Value> {
    let defaults = Algorithm::with_defaults(algorithm.name(), signal, Map::new());
    let defaults = defaults.map(|defaults| defaults.parameters()).unwrap_or_default();
    let mut parameters = algorithm.parameters();
    // A parameter that is 0 is omitted, and its default in the resource may be another.
    for name in defaults.keys().filter(|name| !parameters.contains_key(*name)).cloned().collect::<Vec<_>>() {
        parameters.insert(name, Value::from(0));
    }
    if signal == Signal::Explicit {
        parameters.retain(|name, value| defaults.get(name) != Some(value));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(algorithm: Value, signal: Signal) -> String {
        let algorithm = serde_json::from_value(algorithm).unwrap();
        resource(&Tuned { algorithm, trials: Vec::new(), search: None, metrics: None }, signal)
    }

    #[test]
    fn the_resource_states_a_parameter_that_is_0() {
        let text = spec(json!({"als": {"factors": 8, "iterations": 4, "regularization": 0.5}}), Signal::Implicit);
        for line in [
            "    als:",
            "      factors: 8",
            "      iterations: 4",
            "      degreeExponent: 0",
            "      popularityBoost: 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in {text}");
        }
        assert!(!text.contains("sampl"), "{text}");
    }

    #[test]
    fn the_resource_of_ratings_has_no_parameter_of_implicit_data() {
        let text = spec(json!({"als": {"factors": 8, "regularization": 0.5, "samples": 20}}), Signal::Explicit);
        assert_eq!(
            text,
            "\nspec:\n  algorithm:\n    als:\n      factors: 8\n      regularization: 0.5\n      sampling: {samples: 20}\n"
        );
    }

    #[test]
    fn the_table_has_the_parameters_that_vary() {
        let trials: Vec<Trial> = serde_json::from_value(json!([
            {"parameters": {"svd": {"factors": 16}}, "iterationsRun": 10, "value": 0.25},
            {"parameters": {"svd": {"factors": 8}}, "iterationsRun": 5, "value": 0.24, "standardErrorsBelowBest": 0.5},
        ]))
        .unwrap();
        let text = table(&trials, &trials[1].parameters, "ndcg@10");
        let expected = "ndcg@10  SEBELOWBEST  ITERATIONSRUN  FACTORS\n 0.2500            -             10       16\n 0.2400          0.5              5        8  chosen\n";
        assert_eq!(text, expected);
    }
}
