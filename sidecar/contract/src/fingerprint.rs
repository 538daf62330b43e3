//! The fingerprint: a hash of all inputs of a model. Runs with equal fingerprints yield equal
//! models, so the operator uses it to decide whether a run is due. It is explicit and versioned: a
//! field is an input only if it is listed here, and default values are omitted. Image, store, time
//! and resources are not inputs.

use serde_json::{Map, Value, json};

use crate::{
    algorithm::Algorithm,
    hash::{Digest, canonical_json},
    signal::Signal,
    training::{Columns, Csv, EvaluationConfig, Format, Items, Source, TrainingConfig, WeightsConfig},
};

/// Version of the fingerprint. A new version retrains every model of every installation, so it is
/// raised only if equal inputs must yield different models.
const FINGERPRINT_VERSION: u32 = 1;
/// Default seed, which the fingerprint omits.
const SEED_DEFAULT: u64 = 42;

impl TrainingConfig {
    /// Hash of the inputs that are known before the data is read; stored in
    /// [`crate::RunResult::config_hash`].
    pub fn config_hash(&self) -> Digest {
        Digest::of(canonical_json(&inputs(self)).as_bytes())
    }

    /// The fingerprint: hash of the config's inputs and the data version.
    pub fn fingerprint(&self, data_version: &str) -> Digest {
        let mut inputs = inputs(self);
        inputs.insert("dataVersion".to_owned(), json!(data_version));
        Digest::of(canonical_json(&inputs).as_bytes())
    }
}

/// Inputs of the fingerprint. Every field of the config is listed by name, so that a new field
/// fails to compile until it is included or excluded here.
fn inputs(config: &TrainingConfig) -> Map<String, Value> {
    let TrainingConfig {
        source,
        format,
        csv,
        columns,
        signal,
        weights,
        items,
        algorithm,
        tuning,
        evaluation,
        seed,
        warm_start,
        // Not inputs of the model.
        run: _,
        store: _,
        expected_hash: _,
        known_data_version: _,
        retrain_at: _,
        decided_at: _,
        incumbent: _,
    } = config;
    let mut inputs = Map::new();
    inputs.insert("version".to_owned(), json!(FINGERPRINT_VERSION));
    inputs.insert("source".to_owned(), source_value(source));
    insert_some(&mut inputs, "table", table_value(*format, csv));
    insert_some(&mut inputs, "columns", non_default_fields(columns, &Columns::default()));
    insert_some(&mut inputs, "signal", non_default_fields(signal, &Signal::default()));
    insert_some(&mut inputs, "weights", non_default_fields(weights, &WeightsConfig::default()));
    insert_some(&mut inputs, "items", items.as_ref().and_then(Items::of_model).as_ref().map(items_value));
    inputs.insert("algorithm".to_owned(), algorithm_value(algorithm));
    insert_some(&mut inputs, "tuning", tuning.as_ref().map(|tuning| json!(tuning)));
    insert_some(&mut inputs, "split", non_default_fields(evaluation, &EvaluationConfig::default()));
    insert_some(&mut inputs, "seed", non_default_fields(seed, &SEED_DEFAULT));
    insert_some(&mut inputs, "warmStart", warm_start.as_ref().map(|start| json!(start)));
    inputs
}

/// Only the description contains the name of a mounted source.
fn source_value(source: &Source) -> Value {
    let Source { url, described_as } = source;
    json!([url, described_as])
}

fn table_value(format: Option<Format>, csv: &Csv) -> Option<Value> {
    let mut table = Map::new();
    insert_some(&mut table, "format", format.map(|format| json!(format)));
    insert_some(&mut table, "csv", non_default_fields(csv, &Csv::default()));
    (!table.is_empty()).then_some(Value::Object(table))
}

fn items_value(items: &Items) -> Value {
    // Titles and availability are in the catalogue.
    let Items { source, format, csv, id, title: _, available: _, attributes } = items;
    let mut inputs = Map::new();
    inputs.insert("source".to_owned(), source_value(source));
    insert_some(&mut inputs, "table", table_value(*format, csv));
    inputs.insert("id".to_owned(), json!(id));
    inputs.insert("attributes".to_owned(), json!(attributes));
    Value::Object(inputs)
}

/// All parameters of an unknown algorithm are inputs, because its defaults are not known.
fn algorithm_value(algorithm: &Algorithm) -> Value {
    let Some(default) = Algorithm::wire_default(algorithm.name()) else { return json!(algorithm) };
    let parameters = non_default_fields(&algorithm.parameters(), &default.parameters());
    json!({ algorithm.name(): parameters.unwrap_or_else(|| json!({})) })
}

fn insert_some(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    map.extend(value.map(|value| (name.to_owned(), value)));
}

/// Fields of `value` that differ from `default`; `None` if none does.
fn non_default_fields<T: serde::Serialize>(value: &T, default: &T) -> Option<Value> {
    let (value, default) = (json!(value), json!(default));
    if value == default {
        return None;
    }
    let Value::Object(fields) = value else { return Some(value) };
    let changed = fields.into_iter().filter(|(name, value)| default.get(name) != Some(value));
    Some(Value::Object(changed.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlsConfig, AutoConfig, Column, RunId, SplitKind, StoreConfig, SvdConfig, WarmStartConfig, Weighting};

    fn config() -> TrainingConfig {
        TrainingConfig {
            run: RunId { number: 1, attempt: "0123456789".into() },
            source: Source { url: "s3://shop/ratings.csv".into(), described_as: "s3://shop/ratings.csv".into() },
            format: None,
            csv: Csv::default(),
            columns: Columns::default(),
            signal: Signal::default(),
            weights: WeightsConfig::default(),
            items: None,
            algorithm: Algorithm::Als(AlsConfig::WIRE_DEFAULT),
            tuning: None,
            evaluation: EvaluationConfig::default(),
            seed: 42,
            warm_start: None,
            store: StoreConfig {
                url: "s3://recmesh".into(),
                endpoint: None,
                region: "us-east-1".into(),
                prefix: "1b2c/shop/movies/".into(),
            },
            expected_hash: None,
            known_data_version: None,
            retrain_at: None,
            decided_at: None,
            incumbent: None,
        }
    }

    /// Config whose inputs have non-default values.
    fn non_default_config() -> TrainingConfig {
        let source = |name: &str| Source { url: format!("file:///data/{name}"), described_as: format!("key {name}") };
        TrainingConfig {
            source: source("visits.tsv"),
            format: Some(Format::Tsv),
            csv: Csv { header: false, delimiter: Some(';') },
            columns: Columns {
                user: Column::Index(0),
                item: Column::Index(1),
                rating: Some(Column::Index(2)),
                timestamp: None,
                event: None,
            },
            signal: Signal::Explicit,
            items: Some(Items {
                source: source("items.csv"),
                format: None,
                csv: Csv::default(),
                id: Column::Name("id".into()),
                title: Some(Column::Name("title".into())),
                available: Some(Column::Name("stock".into())),
                attributes: vec![Column::Name("genre".into())],
            }),
            algorithm: Algorithm::Als(AlsConfig { factors: 8, ..AlsConfig::WIRE_DEFAULT }),
            evaluation: EvaluationConfig { split: Some(SplitKind::Random), holdout: 0.2, k: 10 },
            seed: 7,
            ..config()
        }
    }

    #[test]
    fn inputs_are_explicit_and_omit_defaults() {
        let plain =
            r#"{"algorithm":{"als":{}},"source":["s3://shop/ratings.csv","s3://shop/ratings.csv"],"version":1}"#;
        assert_eq!(canonical_json(&inputs(&config())), plain);
        let all = concat!(
            r#"{"algorithm":{"als":{"factors":8}},"columns":{"item":1,"rating":2,"user":0},"#,
            r#""items":{"attributes":["genre"],"id":"id","source":["file:///data/items.csv","key items.csv"]},"seed":7,"#,
            r#""signal":"explicit","source":["file:///data/visits.tsv","key visits.tsv"],"#,
            r#""split":{"holdout":0.2,"split":"random"},"table":{"csv":{"delimiter":";","header":false},"format":"tsv"},"#,
            r#""version":1}"#
        );
        assert_eq!(canonical_json(&inputs(&non_default_config())), all);
    }

    #[test]
    fn weights_are_inputs() {
        let weighted = TrainingConfig {
            columns: Columns { event: Some(Column::Name("what".into())), ..Columns::default() },
            weights: WeightsConfig {
                events: [("view".to_owned(), 1.0), ("buy".to_owned(), 10.0)].into(),
                half_life_seconds: Some(3600),
                weighting: Weighting::Log,
            },
            ..config()
        };
        let expected = concat!(
            r#"{"algorithm":{"als":{}},"columns":{"event":"what"},"source":["s3://shop/ratings.csv","s3://shop/ratings.csv"],"#,
            r#""version":1,"weights":{"events":{"buy":10.0,"view":1.0},"halfLifeSeconds":3600,"weighting":"log"}}"#
        );
        assert_eq!(canonical_json(&inputs(&weighted)), expected);
    }

    #[test]
    fn auto_is_an_input_with_its_budget_and_limits() {
        let auto = |change: fn(&mut AutoConfig)| {
            let mut limits = AutoConfig::default();
            change(&mut limits);
            TrainingConfig { algorithm: Algorithm::Auto(limits), ..config() }
        };
        let plain =
            r#"{"algorithm":{"auto":{}},"source":["s3://shop/ratings.csv","s3://shop/ratings.csv"],"version":1}"#;
        assert_eq!(canonical_json(&inputs(&auto(|_| {}))), plain);
        let limited = auto(|limits| limits.snapshot_bytes_max = Some(9));
        assert!(canonical_json(&inputs(&limited)).starts_with(r#"{"algorithm":{"auto":{"snapshotBytesMax":9}}"#));
        let changes: [fn(&mut AutoConfig); 6] = [
            |_| {},
            |limits| limits.fits = 25,
            |limits| limits.factors_max = 64,
            |limits| limits.budget_seconds = 60,
            |limits| limits.training_bytes_max = Some(9),
            |limits| limits.snapshot_bytes_max = Some(9),
        ];
        let mut hashes: Vec<_> = changes.into_iter().map(|change| auto(change).config_hash()).collect();
        hashes.push(config().config_hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), changes.len() + 1);
    }

    #[test]
    fn released_fingerprints_do_not_change() {
        // Golden values, equal to `sha256sum` of the texts above. A change would retrain every
        // model at upgrade.
        let (plain, all) = (config().config_hash(), non_default_config().config_hash());
        assert_eq!((plain.revision(), all.revision()), ("4c264a8285", "fff7e852ee"));
        assert_eq!(config().fingerprint("v1").revision(), "d284900f96");
    }

    #[test]
    fn run_store_and_time_are_not_inputs() {
        let mut elsewhere = config();
        elsewhere.run.number = 2;
        elsewhere.store.prefix = "other/".into();
        elsewhere.known_data_version = Some("v".into());
        elsewhere.retrain_at = Some("monday".into());
        elsewhere.decided_at = Some(9);
        elsewhere.expected_hash = Some(Digest::of(b"other"));
        assert_eq!(config().config_hash(), elsewhere.config_hash());
        assert_eq!(config().fingerprint("v1"), elsewhere.fingerprint("v1"));
    }

    #[test]
    fn what_only_the_catalogue_has_is_not_an_input() {
        let mut others = non_default_config();
        let items = others.items.as_mut().unwrap();
        items.title = Some(Column::Name("name".into()));
        items.available = None;
        assert_eq!(others.config_hash(), non_default_config().config_hash());
        others.items.as_mut().unwrap().attributes.clear();
        let without_table = TrainingConfig { items: None, ..non_default_config() };
        assert_eq!(others.config_hash(), without_table.config_hash(), "a table without attributes");
    }

    #[test]
    fn every_input_changes_the_hash() {
        let other_claim =
            Source { url: config().source.url, described_as: "ratings.csv on PersistentVolumeClaim shop/b".into() };
        let with_items = |change: fn(&mut Items)| {
            let mut config = non_default_config();
            change(config.items.as_mut().unwrap());
            config
        };
        let others = [
            with_items(|items| items.attributes = vec![Column::Name("brand".into())]),
            with_items(|items| items.id = Column::Name("sku".into())),
            TrainingConfig { seed: 43, ..config() },
            TrainingConfig { source: other_claim, ..config() },
            TrainingConfig { signal: Signal::Explicit, ..config() },
            TrainingConfig { evaluation: EvaluationConfig { holdout: 0.2, ..EvaluationConfig::default() }, ..config() },
            TrainingConfig { algorithm: Algorithm::Svd(SvdConfig::default()), ..config() },
            TrainingConfig {
                algorithm: Algorithm::Als(AlsConfig { samples: 50, ..AlsConfig::WIRE_DEFAULT }),
                ..config()
            },
            TrainingConfig {
                algorithm: Algorithm::Als(AlsConfig { iterations: 16, ..AlsConfig::WIRE_DEFAULT }),
                ..config()
            },
            TrainingConfig {
                weights: WeightsConfig { weighting: Weighting::Bm25, ..WeightsConfig::default() },
                ..config()
            },
            TrainingConfig {
                weights: WeightsConfig { half_life_seconds: Some(60), ..WeightsConfig::default() },
                ..config()
            },
            TrainingConfig {
                warm_start: Some(WarmStartConfig { digest: Digest::of(b"one"), iterations: 5 }),
                ..config()
            },
            TrainingConfig {
                warm_start: Some(WarmStartConfig { digest: Digest::of(b"another"), iterations: 5 }),
                ..config()
            },
            non_default_config(),
        ];
        let mut hashes: Vec<_> = others.iter().map(TrainingConfig::config_hash).collect();
        hashes.push(config().config_hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
        assert_ne!(config().fingerprint("v1"), config().fingerprint("v2"));
    }
}
