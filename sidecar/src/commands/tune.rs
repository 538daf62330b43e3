//! `recmesh-sidecar tune`: searches hyperparameters for a file. Prints a table of the trials and a
//! resource fragment.

use std::fmt::Write as _;

use recommender_trainer::{Options, Tuned, describe_metrics, progress, tune};
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, Signal, Trial, TuningConfig};

use crate::{
    args::TuneArgs,
    commands::{report_error, training_config},
};

/// Runs the search. Prints all trials, the best parameters, and their metrics on the held-out set,
/// which the search does not use.
pub async fn run(args: TuneArgs) -> ExitCode {
    let mut config = training_config(&args.data);
    config.tuning = Some(TuningConfig { trials: args.trials, budget_seconds: args.budget });
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
            print!("{}", table(&tuned.trials, &config.algorithm, &metric));
            print!("{}", resource(&tuned, config.signal));
            ExitCode::Done
        }
        Err(error) => report_error(&error),
    }
}

fn table(trials: &[Trial], given: &Algorithm, metric: &str) -> String {
    let mut lines = format!(
        "{:>13}  {metric:>9}  {:>14}  {:>16}  {:>14}  {:>15}  {:>10}\n",
        "ITERATIONSRUN", "REGULARIZATION", "UNOBSERVEDWEIGHT", "DEGREEEXPONENT", "POPULARITYBOOST", "ITERATIONS"
    );
    for trial in trials {
        let Algorithm::Als(als) = &trial.parameters else { continue };
        let AlsConfig { unobserved_weight, degree_exponent, popularity_boost, iterations, .. } = als;
        let regularization = als.regularization_text();
        let (iterations_run, value) = (trial.iterations_run, trial.value_text());
        let is_given = matches!(given, Algorithm::Als(given) if AlsConfig {
            iterations: given.iterations,
            // A regularization that is not given is chosen from the data.
            regularization: given.regularization.and(als.regularization),
            ..als.clone()
        } == *given);
        let note = if is_given { "  given" } else { "" };
        let _ = writeln!(
            lines,
            "{iterations_run:>13}  {value:>9}  {regularization:>14}  {unobserved_weight:>16}  {degree_exponent:>14}  {popularity_boost:>15}  {iterations:>10}{note}"
        );
    }
    lines
}

/// The `spec.algorithm` of a Recommender with the best parameters.
fn resource(tuned: &Tuned, signal: Signal) -> String {
    let mut text = "\n".to_owned();
    if let Some(metrics) = &tuned.metrics {
        let _ = writeln!(text, "# on the held-out set, which the search did not use: {}", describe_metrics(metrics));
    }
    let Algorithm::Als(als) = &tuned.algorithm else { return text };
    let _ = write!(
        text,
        "spec:\n  algorithm:\n    als:\n      factors: {}\n      iterations: {}\n      regularization: {}\n      regularizationExponent: {}\n",
        als.factors,
        als.iterations,
        als.regularization_text(),
        als.regularization_exponent
    );
    if signal == Signal::Implicit {
        let _ = writeln!(
            text,
            "      unobservedWeight: {}\n      degreeExponent: {}\n      popularityBoost: {}",
            als.unobserved_weight, als.degree_exponent, als.popularity_boost
        );
    }
    if als.samples > 0 {
        let _ = writeln!(text, "      sampling: {{samples: {}}}", als.samples);
    }
    text
}
