//! What holds for the definition of every algorithm.

use std::ops::ControlFlow;

use algorithms::{AlgorithmError, DataShape, Draws, TrainingPart, check, definition, names_with, valid_params};
use factorization::{Entry, Fit as _, FitError, Interactions, ValidParams, WarmStart};
use serde_json::json;
use sidecar_contract::{Algorithm, AlsConfig, Signal, SvdConfig};

const SIGNALS: [Signal; 2] = [Signal::Implicit, Signal::Explicit];

/// The algorithm with this name for data of this signal, with few factors and iterations.
fn small(name: &str, signal: Signal) -> Algorithm {
    let serde_json::Value::Object(given) = json!({"factors": 3, "iterations": 2}) else { panic!() };
    Algorithm::with_defaults(name, signal, given).unwrap()
}

fn takes(name: &str, signal: Signal) -> bool {
    definition(&small(name, signal)).unwrap().unsupported(signal).is_none()
}

/// Ratings from 1 to 5, which are weights, too.
fn data() -> Interactions {
    let entries =
        (0..60_u8).map(|i| Entry { user: u32::from(i % 12), item: u32::from(i) * 7 % 10, value: f32::from(1 + i % 5) });
    Interactions::from_entries(12, 10, entries.collect()).unwrap()
}

fn message(algorithm: &Algorithm, signal: Signal) -> String {
    check(algorithm, signal).unwrap_err().to_string()
}

#[test]
fn defaults_are_valid_for_every_signal_that_the_algorithm_takes() {
    for name in Algorithm::NAMES {
        assert!(SIGNALS.into_iter().any(|signal| takes(name, signal)), "{name} takes no signal");
        for signal in SIGNALS {
            let algorithm = Algorithm::with_defaults(name, signal, serde_json::Map::new()).unwrap();
            match check(&algorithm, signal) {
                Ok(_) => assert!(takes(name, signal), "{name}"),
                Err(error) => {
                    assert!(!takes(name, signal) && matches!(error, AlgorithmError::Signal { .. }), "{error}");
                }
            }
        }
    }
}

#[test]
fn resolved_parameters_are_set_and_the_others_stay() {
    let data = data();
    for name in Algorithm::NAMES {
        for signal in SIGNALS.into_iter().filter(|signal| takes(name, *signal)) {
            let given = small(name, signal);
            let needs_data = definition(&given).unwrap().needs_data(signal);
            let resolved =
                definition(&given).unwrap().resolved(signal, Some(TrainingPart { interactions: &data, seed: 3 }));
            assert_eq!(valid_params(&given, signal).is_err(), resolved.is_some(), "{name}");
            let resolved = resolved.unwrap_or_else(|| given.clone());
            let params = valid_params(&resolved, signal).unwrap();
            let definition = definition(&resolved).unwrap();
            assert!(!definition.needs_data(signal) && definition.resolved(signal, None).is_none());
            assert!(!needs_data || check(&given, signal).unwrap() != params, "the data decides: {params:?}");
            for (name, value) in given.parameters().into_iter().filter(|(_, value)| !value.is_null()) {
                assert_eq!(resolved.parameters().get(&name), Some(&value), "{name}");
            }
        }
    }
}

#[test]
fn only_the_number_of_iterations_or_factors_changes() {
    for name in Algorithm::NAMES {
        let given = small(name, Signal::Implicit);
        let wider = definition(&given).unwrap().with_factors(5);
        assert_eq!((definition(&given).unwrap().factors(), definition(&wider).unwrap().factors()), (3, 5));
        assert_eq!(definition(&wider).unwrap().with_factors(3), given);
        let changed = definition(&given).unwrap().with_iterations(9);
        assert_eq!((definition(&given).unwrap().iterations(), definition(&changed).unwrap().iterations()), (2, 9));
        assert_eq!(definition(&changed).unwrap().with_iterations(2), given);
    }
}

#[test]
fn a_warm_start_is_defined_if_and_only_if_the_fit_has_one() {
    let data = data();
    for name in Algorithm::NAMES {
        for signal in SIGNALS.into_iter().filter(|signal| takes(name, *signal)) {
            let algorithm = small(name, signal);
            let params = check(&algorithm, signal).unwrap();
            let fit = |warm_start| params.fit(&data, 1, warm_start, &mut |_| ControlFlow::Continue(()));
            let earlier = fit(None).unwrap();
            let warm_start = WarmStart {
                user_factors: earlier.user_factors.view(),
                item_factors: earlier.item_factors.view(),
                user_biases: &[],
                users: &[None; 12],
                items: &[None; 10],
            };
            let has_warm_start = definition(&algorithm).unwrap().has_warm_start();
            assert_eq!(fit(Some(&warm_start)).err(), (!has_warm_start).then_some(FitError::NoWarmStart), "{name}");
        }
    }
}

#[test]
fn drawn_parameters_are_valid() {
    let shape = DataShape { users: 12.0, entries_per_user: 5.0, items: 10.0, mean_weight: 1.0 };
    for name in Algorithm::NAMES {
        for signal in SIGNALS.into_iter().filter(|signal| takes(name, *signal)) {
            let algorithm = small(name, signal);
            let search = definition(&algorithm).unwrap().search();
            let draw = |factors_max, trial| search.draw(signal, &Draws { shape, factors_max, seed: 1, trial });
            for factors_max in [None, Some(64)] {
                for trial in 0..50 {
                    let params = valid_params(&draw(factors_max, trial), signal).unwrap();
                    assert_eq!(
                        params.factors(),
                        factors_max.map_or(3, |_| 8),
                        "at most half of the data's items, and 8"
                    );
                }
            }
            assert_eq!(draw(None, 3), draw(None, 3));
            assert_eq!(draw(None, 3) != draw(None, 4), search.varies(signal), "{name}");
        }
    }
}

#[test]
fn errors_name_the_field_and_what_is_valid() {
    let unknown: Algorithm = serde_json::from_value(json!({"slim": {}})).unwrap();
    assert_eq!(
        message(&unknown, Signal::Implicit),
        "slim is not supported by this image, which supports als, svd, bpr: use a newer image"
    );
    assert_eq!(
        message(&Algorithm::wire_default("bpr").unwrap(), Signal::Explicit),
        "bpr is not valid with spec.data.signal: explicit, because it learns from chosen and not chosen items: set \
         spec.algorithm.als or svd"
    );
    let als = |change: fn(&mut AlsConfig), signal| {
        let mut als = AlsConfig::WIRE_DEFAULT;
        change(&mut als);
        message(&Algorithm::Als(als), signal)
    };
    assert!(
        als(|als| als.factors = 0, Signal::Implicit).starts_with("als.factors is 0: expected a number from 1 to 1024")
    );
    assert!(
        als(|als| als.samples = 5, Signal::Implicit).starts_with("als.sampling requests 5 samples: it is valid only")
    );
    assert!(
        als(|als| als.popularity_boost = 0.5, Signal::Explicit).starts_with("als.popularityBoost is 0.5: expected 0")
    );
    let svd = Algorithm::Svd(SvdConfig::default());
    assert!(message(&svd, Signal::Explicit).starts_with("svd.degreeExponent is 0.5: expected 0"));
    // A snapshot has all parameters.
    let unset = Algorithm::Als(AlsConfig { regularization: None, ..AlsConfig::WIRE_DEFAULT });
    let error = valid_params(&unset, Signal::Implicit).unwrap_err();
    assert!(error.to_string().starts_with("als.regularization is not set"), "{error}");
}

#[test]
fn als_is_implicit_or_explicit_by_the_signal() {
    let als = Algorithm::Als(AlsConfig::WIRE_DEFAULT);
    assert!(matches!(valid_params(&als, Signal::Implicit), Ok(ValidParams::Als(_))));
    assert!(matches!(valid_params(&als, Signal::Explicit), Ok(ValidParams::ExplicitAls(_))));
}

#[test]
fn messages_list_names() {
    assert_eq!(names_with(|algorithm| algorithm.has_warm_start()), "als");
    assert_eq!(names_with(|algorithm| algorithm.unsupported(Signal::Explicit).is_none()), "als or svd");
}
