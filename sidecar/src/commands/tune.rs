//! `recmesh-sidecar tune`: better parameters for a file, as a table and as a piece of a resource.

use std::fmt::Write as _;

use recommender_trainer::{Options, Tuned, describe_metrics, progress, tune};
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, Signal, Trial, TuningConfig};

use crate::{
    args::TuneArgs,
    commands::{stopped, training_config},
};

/// Searches, and prints what was tried, what is best and how good that is on rows that the search did not see.
pub async fn run(args: TuneArgs) -> ExitCode {
    let mut config = training_config(&args.data);
    config.tuning = Some(TuningConfig { trials: args.trials, budget_seconds: args.budget });
    let progress = progress::for_standard_error();
    match tune(&config, &*progress, &Options::default()).await {
        Ok(tuned) if tuned.trials.is_empty() => {
            eprintln!("error: nothing could be kept to compare by; raise --holdout or bring more rows");
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
        Err(stop) => stopped(&stop),
    }
}

fn table(trials: &[Trial], given: &Algorithm, metric: &str) -> String {
    let mut lines = format!(
        "{:>6}  {metric:>9}  {:>14}  {:>16}  {:>14}  {:>12}  {:>10}\n",
        "SWEEPS", "REGULARIZATION", "UNOBSERVEDWEIGHT", "DEGREEEXPONENT", "DEGREERETURN", "ITERATIONS"
    );
    for trial in trials {
        let Algorithm::Als(als) = &trial.parameters else { continue };
        let AlsConfig { unobserved_weight, degree_exponent, degree_return, iterations, .. } = als;
        let regularization = als.regularization_text();
        let (sweeps, value) = (trial.sweeps, trial.value_text());
        let is_given = matches!(given, Algorithm::Als(given) if AlsConfig {
            iterations: given.iterations,
            // What was not given was found for the data.
            regularization: given.regularization.and(als.regularization),
            ..als.clone()
        } == *given);
        let note = if is_given { "  given" } else { "" };
        let _ = writeln!(
            lines,
            "{sweeps:>6}  {value:>9}  {regularization:>14}  {unobserved_weight:>16}  {degree_exponent:>14}  {degree_return:>12}  {iterations:>10}{note}"
        );
    }
    lines
}

/// What to put into a Recommender.
fn resource(tuned: &Tuned, signal: Signal) -> String {
    let mut text = "\n".to_owned();
    if let Some(metrics) = &tuned.metrics {
        let _ = writeln!(text, "# on rows that the search did not see: {}", describe_metrics(metrics));
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
            "      unobservedWeight: {}\n      degreeExponent: {}\n      degreeReturn: {}",
            als.unobserved_weight, als.degree_exponent, als.degree_return
        );
    }
    if als.samples > 0 {
        let _ = writeln!(text, "      sampling: {{samples: {}}}", als.samples);
    }
    text
}
