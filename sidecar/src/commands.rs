//! The subcommands: each maps its arguments to an exit code.

pub mod batch;
pub mod catalogue;
pub mod compose;
pub mod evaluate;
mod job;
pub mod proxy;
pub mod recommend;
pub mod serve;
pub mod suggest;
pub mod train;
pub mod tune;

use algorithms::definition;
use recommender_trainer::{FailureReason, RunError};
use serde_json::json;
use sidecar_contract::{Algorithm, Column, Columns, Csv, Format, Items, Signal, SplitKind, TrainingConfig, Weighting};

use crate::args::{DataArgs, SignalArg, SplitArg, WeightingArg};

/// Training config of the command-line arguments.
///
/// # Errors
/// An option that the algorithm does not have.
fn training_config(args: &DataArgs) -> Result<TrainingConfig, RunError> {
    let mut config = recommender_trainer::local_config(&args.data);
    config.format = args.format.map(Format::from);
    config.csv = Csv { header: args.header, delimiter: args.delimiter };
    config.columns = Columns {
        user: args.user.clone(),
        item: args.item.clone(),
        rating: args.rating.clone(),
        timestamp: args.timestamp.clone(),
        event: args.event.clone(),
    };
    config.weights.events = args.event_weights.iter().cloned().collect();
    config.weights.half_life_seconds = args.half_life;
    config.weights.weighting = match args.weighting {
        WeightingArg::None => Weighting::None,
        WeightingArg::Log => Weighting::Log,
        WeightingArg::Bm25 => Weighting::Bm25,
    };
    config.items = items(args);
    config.signal = match args.signal {
        SignalArg::Implicit => Signal::Implicit,
        SignalArg::Explicit => Signal::Explicit,
    };
    config.algorithm = algorithm(args, config.signal)?;
    config.evaluation.split = args.split.map(|split| match split {
        SplitArg::Time => SplitKind::Time,
        SplitArg::Random => SplitKind::Random,
        SplitArg::LeaveLastOut => SplitKind::LeaveLastOut,
        SplitArg::UserHoldout => SplitKind::UserHoldout,
    });
    config.evaluation.holdout = args.holdout;
    config.evaluation.k = args.k;
    config.seed = args.seed;
    Ok(config)
}

fn items(args: &DataArgs) -> Option<Items> {
    Some(Items {
        source: recommender_trainer::local_source(args.items.as_deref()?),
        format: args.items_format.map(Format::from),
        csv: Csv { header: args.items_header, delimiter: args.items_delimiter },
        id: args.items_id.clone(),
        title: Some(args.items_title.clone()).filter(|title| *title != Column::Name(String::new())),
        available: args.items_available.clone(),
        attributes: args.items_attributes.clone(),
    })
}

/// The algorithm with the parameters of the command line. Those that the algorithm does not have
/// are ignored, except for those of the two-hop term, and those that are not given have their
/// defaults.
fn algorithm(args: &DataArgs, signal: Signal) -> Result<Algorithm, RunError> {
    let options = [
        ("factors", json!(args.factors)),
        ("iterations", json!(args.iterations)),
        ("regularization", json!(args.regularization)),
        ("regularizationExponent", json!(args.regularization_exponent)),
        ("unobservedWeight", json!(args.unobserved_weight)),
        ("degreeExponent", json!(args.degree_exponent)),
        ("userDegreeExponent", json!(args.user_degree_exponent)),
        ("coOccurrenceWeight", json!(args.co_occurrence_weight)),
        ("minUsersPerItem", json!(args.min_users_per_item)),
        ("popularityBoost", json!(args.popularity_boost)),
        ("learningRate", json!(args.learning_rate)),
        ("samples", json!(args.samples)),
        ("fits", json!(args.fits)),
        ("factorsMax", json!(args.factors_max)),
        ("budgetSeconds", json!(args.budget)),
        ("snapshotBytesMax", json!(args.model_mib_max.map(|mebibytes| mebibytes << 20))),
    ];
    let given = options.into_iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(name, value)| (name.to_owned(), value)).collect();
    let algorithm = Algorithm::with_defaults(&args.algorithm.name(), signal, given);
    let algorithm = algorithm.expect("options have the types of the parameters");
    let of_two_hop_term = [
        ("--co-occurrence-weight", args.co_occurrence_weight.is_some()),
        ("--user-degree-exponent", args.user_degree_exponent.is_some()),
        ("--min-users-per-item", args.min_users_per_item.is_some()),
    ];
    let has_term = definition(&algorithm).is_ok_and(algorithms::Definition::has_two_hop_term);
    match of_two_hop_term.into_iter().find(|(_, is_given)| *is_given && !has_term) {
        None => Ok(algorithm),
        Some((option, _)) => Err(RunError::Permanent {
            reason: FailureReason::ConfigInvalid,
            message: format!(
                "{option} is not valid with --algorithm {}, which has no two-hop term: remove it, or use {}",
                algorithm.name(),
                algorithms::names_with(|algorithm| algorithm.has_two_hop_term())
            ),
        }),
    }
}

/// Prints the error of a failed run and returns the exit code.
fn report_error(error: &RunError) -> sidecar_contract::ExitCode {
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
    use sidecar_contract::AutoConfig;

    use super::*;
    use crate::args::{Cli, Command};

    fn evaluate(arguments: &[&str]) -> Result<TrainingConfig, String> {
        let cli = Cli::try_parse_from([&["recmesh-sidecar", "evaluate", "events.csv"], arguments].concat());
        match cli.map_err(|error| error.to_string())?.command {
            Command::Evaluate(args) => training_config(&args).map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// A Job passes no data file, so the group of its arguments is optional.
    #[test]
    fn train_takes_a_file_or_a_config() {
        let train = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["recmesh-sidecar", "train"], arguments].concat()).ok()?;
            let Command::Train(args) = cli.command else { return None };
            Some((args.data.is_some(), args.config.is_some()))
        };
        assert_eq!(train(&["events.csv"]), Some((true, false)));
        assert_eq!(train(&["events.csv", "--items=items.csv", "--header=false"]), Some((true, false)));
        assert_eq!(train(&["--config={}"]), Some((false, true)));
        assert_eq!(train(&[]), None);
    }

    #[test]
    fn options_of_the_two_hop_term_need_an_algorithm_with_one() {
        for option in ["--co-occurrence-weight=2.5", "--user-degree-exponent=0.3", "--min-users-per-item=9"] {
            let (name, _) = option.split_once('=').unwrap();
            for algorithm in ["bpr", "auto"] {
                let message = evaluate(&["--algorithm", algorithm, option]).unwrap_err();
                let expected = format!("{name} is not valid with --algorithm {algorithm}");
                assert!(message.contains(&expected) && message.ends_with("use als or svd"), "{message}");
            }
            for algorithm in ["als", "svd"] {
                evaluate(&["--algorithm", algorithm, option]).unwrap();
            }
        }
    }

    #[test]
    fn every_table_of_a_job_can_be_named() {
        let config = evaluate(&[
            "--format=tsv",
            "--delimiter=;",
            "--header=false",
            "--user=0",
            "--item=sku",
            "--rating=2",
            "--timestamp=when",
            "--items=items.csv",
            "--items-format=parquet",
            "--items-delimiter=\\t",
            "--items-header=false",
            "--items-id=1",
            "--items-title=name",
            "--items-available=in_stock",
            "--items-attributes=genre,3",
        ]);
        let config = serde_json::to_value(config.unwrap()).unwrap();
        assert_eq!(config["format"], "tsv");
        assert_eq!(config["csv"], json!({"header": false, "delimiter": ";"}));
        assert_eq!(config["columns"], json!({"user": 0, "item": "sku", "rating": 2, "timestamp": "when"}));
        let mut items = config["items"].clone();
        items["source"].take();
        assert_eq!(
            items,
            json!({
                "source": null,
                "format": "parquet",
                "csv": {"header": false, "delimiter": "\t"},
                "id": 1,
                "title": "name",
                "available": "in_stock",
                "attributes": ["genre", 3],
            })
        );
        let defaults = evaluate(&["--items=items.csv", "--items-title="]).unwrap();
        assert_eq!(
            (defaults.format, defaults.csv.clone(), defaults.columns),
            (None, Csv::default(), Columns::default())
        );
        let items = defaults.items.unwrap();
        assert_eq!((items.id, items.title), (Column::Name("item_id".to_owned()), None));
        assert!(evaluate(&["--delimiter=::"]).unwrap_err().contains("not one character"));
    }

    #[test]
    fn auto_has_limits_in_place_of_parameters() {
        let auto = |arguments: &[&str]| match evaluate(&[&["--algorithm=auto"], arguments].concat()).unwrap().algorithm
        {
            Algorithm::Auto(auto) => auto,
            other => panic!("{other:?}"),
        };
        assert_eq!(auto(&["--factors=8"]), AutoConfig::default());
        let given = auto(&["--fits=7", "--factors-max=32", "--budget=60", "--model-mib-max=3"]);
        let snapshot_bytes_max = Some(3 << 20);
        let expected =
            AutoConfig { fits: 7, factors_max: 32, budget_seconds: 60, snapshot_bytes_max, training_bytes_max: None };
        assert_eq!(given, expected);
    }

    #[test]
    fn options_and_values_match_the_resource() {
        let config = evaluate(&[
            "--event=what",
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
            (&["--event-weights=view=1"][..], "--event <COLUMN>"),
            (&["--event=what"], "--event-weights"),
            (&["--event=what", "--event-weights=view"], "such as view=1"),
            (&["--event=what", "--event-weights=view=many"], "\"many\" is not a number"),
            (&["--half-life=90m"], "30d, 12h"),
            (&["--split=kfold"], "leaveLastOut"),
        ] {
            let message = evaluate(arguments).unwrap_err();
            assert!(message.contains(word), "expected {word:?} in: {message}");
        }
    }
}
