//! The subcommands, each from its arguments to an exit code.

pub mod evaluate;
pub mod recommend;
pub mod serve;
pub mod suggest;
pub mod train;
pub mod tune;

use sidecar_contract::{
    Algorithm, AlsConfig, BprConfig, Column, Items, Signal, SplitKind, SvdConfig, TrainingConfig, Weighting,
};

use crate::args::{AlgorithmArg, DataArgs, SignalArg, SplitArg, WeightingArg};

/// A training config from the command line.
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
    let factors = args.factors;
    config.algorithm = match args.algorithm {
        AlgorithmArg::Als => {
            let usual = AlsConfig::usual(config.signal);
            let degree_exponent = args.degree_exponent.unwrap_or(usual.degree_exponent);
            Algorithm::Als(AlsConfig {
                factors,
                iterations: args.iterations.unwrap_or(usual.iterations),
                regularization: args.regularization,
                regularization_exponent: args.regularization_exponent,
                unobserved_weight: args.unobserved_weight.unwrap_or(usual.unobserved_weight),
                degree_exponent,
                degree_return: args.degree_return.unwrap_or(AlsConfig::usual_return(degree_exponent)),
                samples: args.samples,
            })
        }
        AlgorithmArg::Svd => Algorithm::Svd(SvdConfig {
            factors,
            iterations: args.iterations.unwrap_or(SvdConfig::default().iterations),
            degree_exponent: args.degree_exponent.unwrap_or(SvdConfig::default_degree_exponent(config.signal)),
        }),
        AlgorithmArg::Bpr => {
            let default = BprConfig::default();
            Algorithm::Bpr(BprConfig {
                factors,
                iterations: args.iterations.unwrap_or(default.iterations),
                learning_rate: args.learning_rate.unwrap_or(default.learning_rate),
                regularization: args.regularization.unwrap_or(default.regularization),
            })
        }
    };
    config.evaluation.split = args.split.map(|split| match split {
        SplitArg::Time => SplitKind::Time,
        SplitArg::Random => SplitKind::Random,
        SplitArg::LeaveLastOut => SplitKind::LeaveLastOut,
        SplitArg::Users => SplitKind::Users,
    });
    config.evaluation.holdout = args.holdout;
    config.evaluation.k = args.k;
    config.seed = args.seed;
    config
}

/// Prints why nothing came out, and chooses the exit code.
fn stopped(stop: &recommender_trainer::Stop) -> sidecar_contract::ExitCode {
    use recommender_trainer::Stop;
    match stop {
        Stop::Failed { reason, message } => {
            eprintln!("error: {message}");
            reason.exit_code()
        }
        Stop::Retry { message } => {
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
    fn names_and_values_are_those_of_the_resource() {
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
            (&["--event-column=what", "--event-weights=view=many"], "\"many\" is no number"),
            (&["--half-life=90m"], "30d or 12h"),
            (&["--split=kfold"], "leaveLastOut"),
        ] {
            let said = evaluate(arguments).unwrap_err();
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
}
