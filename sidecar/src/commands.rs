//! The subcommands: each maps its arguments to an exit code.

pub mod evaluate;
pub mod recommend;
pub mod serve;
pub mod suggest;
pub mod train;
pub mod tune;

use serde_json::json;
use sidecar_contract::{Algorithm, Column, Items, Signal, SplitKind, TrainingConfig, Weighting};

use crate::args::{DataArgs, SignalArg, SplitArg, WeightingArg};

/// Training config of the command-line arguments.
fn training_config(args: &DataArgs) -> TrainingConfig {
    let mut config = recommender_trainer::local_config(&args.data);
    config.columns.user = Column::Name(args.user_column.clone());
    config.columns.item = Column::Name(args.item_column.clone());
    config.columns.rating = args.rating_column.clone().map(Column::Name);
    config.columns.timestamp = args.timestamp_column.clone().map(Column::Name);
    config.columns.event = args.event_column.clone().map(Column::Name);
    config.weights.events = args.event_weights.iter().cloned().collect();
    config.weights.half_life_seconds = args.half_life;
    config.weights.weighting = match args.weighting {
        WeightingArg::None => Weighting::None,
        WeightingArg::Log => Weighting::Log,
        WeightingArg::Bm25 => Weighting::Bm25,
    };
    config.items = args.items.as_deref().map(|path| Items {
        source: recommender_trainer::local_source(path),
        format: None,
        csv: sidecar_contract::Csv::default(),
        id: Column::Name("item_id".to_owned()),
        title: Some(Column::Name("title".to_owned())),
        available: None,
        attributes: args.item_attributes.iter().cloned().map(Column::Name).collect(),
    });
    config.signal = match args.signal {
        SignalArg::Implicit => Signal::Implicit,
        SignalArg::Explicit => Signal::Explicit,
    };
    config.algorithm = algorithm(args, config.signal);
    config.evaluation.split = args.split.map(|split| match split {
        SplitArg::Time => SplitKind::Time,
        SplitArg::Random => SplitKind::Random,
        SplitArg::LeaveLastOut => SplitKind::LeaveLastOut,
        SplitArg::UserHoldout => SplitKind::UserHoldout,
    });
    config.evaluation.holdout = args.holdout;
    config.evaluation.k = args.k;
    config.seed = args.seed;
    config
}

/// The algorithm with the parameters of the command line. Those that the algorithm does not have
/// are ignored, and those that are not given have their defaults.
fn algorithm(args: &DataArgs, signal: Signal) -> Algorithm {
    let options = [
        ("factors", json!(args.factors)),
        ("iterations", json!(args.iterations)),
        ("regularization", json!(args.regularization)),
        ("regularizationExponent", json!(args.regularization_exponent)),
        ("unobservedWeight", json!(args.unobserved_weight)),
        ("degreeExponent", json!(args.degree_exponent)),
        ("popularityBoost", json!(args.popularity_boost)),
        ("learningRate", json!(args.learning_rate)),
        ("samples", json!(args.samples)),
    ];
    let given = options.into_iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(name, value)| (name.to_owned(), value)).collect();
    let algorithm = Algorithm::with_defaults(&args.algorithm.name(), signal, given);
    algorithm.expect("options have the types of the parameters")
}

/// Prints the error of a failed run and returns the exit code.
fn report_error(error: &recommender_trainer::RunError) -> sidecar_contract::ExitCode {
    use recommender_trainer::RunError;
    match error {
        RunError::Permanent { reason, message } => {
            eprintln!("error: {message}");
            reason.exit_code()
        }
        RunError::Transient { message, .. } => {
            eprintln!("error: {message}");
            sidecar_contract::ExitCode::Retry
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn evaluate(arguments: &[&str]) -> Result<TrainingConfig, String> {
        let cli = Cli::try_parse_from([&["recmesh-sidecar", "evaluate", "events.csv"], arguments].concat());
        match cli.map_err(|error| error.to_string())?.command {
            Command::Evaluate(args) => Ok(training_config(&args)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_and_values_match_the_resource() {
        let config = evaluate(&[
            "--event-column=what",
            "--event-weights=view=1,a=b=2.5,hide=-2",
            "--half-life=1d12h",
            "--weighting=bm25",
            "--split=leaveLastOut",
        ])
        .unwrap();
        assert_eq!(config.columns.event, Some(Column::Name("what".to_owned())));
        let events = [("view", 1.0), ("a=b", 2.5), ("hide", -2.0)].map(|(event, weight)| (event.to_owned(), weight));
        assert_eq!(config.weights.events, events.into());
        assert_eq!((config.weights.half_life_seconds, config.weights.weighting), (Some(36 * 3600), Weighting::Bm25));
        assert_eq!(config.evaluation.split, Some(SplitKind::LeaveLastOut));
        assert_eq!(evaluate(&[]).unwrap().weights, sidecar_contract::WeightsConfig::default());
        for (arguments, word) in [
            (&["--event-weights=view=1"][..], "--event-column"),
            (&["--event-column=what"], "--event-weights"),
            (&["--event-column=what", "--event-weights=view"], "such as view=1"),
            (&["--event-column=what", "--event-weights=view=many"], "\"many\" is not a number"),
            (&["--half-life=90m"], "30d, 12h"),
            (&["--split=kfold"], "leaveLastOut"),
        ] {
            let message = evaluate(arguments).unwrap_err();
            assert!(message.contains(word), "expected {word:?} in: {message}");
        }
    }
}
