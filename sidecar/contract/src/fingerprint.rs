//! The fingerprint: what a model is made of. Two runs with equal fingerprints make equal models, so it says whether one is
//! due. Explicit and versioned: a field counts because it is written here, what is the default is left out, and neither
//! image, place, time nor means are in it.

use serde_json::{Map, Value, json};

use crate::{
    hash::{Digest, canonical_json},
    training::{
        Algorithm, AlsConfig, BprConfig, Columns, Csv, EvaluationConfig, Format, Items, Signal, Source, SvdConfig,
        TrainingConfig, WeightsConfig,
    },
};

/// Version of the fingerprint. Raising it trains every model of every user again, so it is raised only when equal inputs
/// are to make other models.
const FINGERPRINT_VERSION: u32 = 1;
/// The seed that is left out.
const SEED_DEFAULT: u64 = 42;

impl TrainingConfig {
    /// The part of the fingerprint that is known before the data is looked at; [`crate::RunResult::config_hash`] holds it.
    pub fn config_hash(&self) -> Digest {
        Digest::of(canonical_json(&inputs(self)).as_bytes())
    }

    /// The fingerprint: what is trained, from which version of the data.
    pub fn fingerprint(&self, data_version: &str) -> Digest {
        let mut inputs = inputs(self);
        inputs.insert("dataVersion".to_owned(), json!(data_version));
        Digest::of(canonical_json(&inputs).as_bytes())
    }
}

/// Every field of the config, by name: one that is added must be put on one side or the other.
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
        // Where, when and for whom, not what.
        run: _,
        store: _,
        known_data_version: _,
        retrain_at: _,
        decided_at: _,
        incumbent: _,
    } = config;
    let mut inputs = Map::new();
    inputs.insert("version".to_owned(), json!(FINGERPRINT_VERSION));
    inputs.insert("source".to_owned(), place(source));
    put(&mut inputs, "table", table(*format, csv));
    put(&mut inputs, "columns", unlike(columns, &Columns::default()));
    put(&mut inputs, "signal", unlike(signal, &Signal::default()));
    put(&mut inputs, "weights", unlike(weights, &WeightsConfig::default()));
    put(&mut inputs, "items", items.as_ref().map(items_table));
    inputs.insert("algorithm".to_owned(), fitted(algorithm));
    put(&mut inputs, "tuning", tuning.as_ref().map(|tuning| json!(tuning)));
    put(&mut inputs, "split", unlike(evaluation, &EvaluationConfig::default()));
    put(&mut inputs, "seed", unlike(seed, &SEED_DEFAULT));
    put(&mut inputs, "warmStart", warm_start.as_ref().map(|start| json!(start)));
    inputs
}

/// The name of a mounted source stands in its description only.
fn place(source: &Source) -> Value {
    let Source { url, described_as } = source;
    json!([url, described_as])
}

fn table(format: Option<Format>, csv: &Csv) -> Option<Value> {
    let mut table = Map::new();
    put(&mut table, "format", format.map(|format| json!(format)));
    put(&mut table, "csv", unlike(csv, &Csv::default()));
    (!table.is_empty()).then_some(Value::Object(table))
}

fn items_table(items: &Items) -> Value {
    let Items { source, format, csv, id, title, available, attributes } = items;
    let mut inputs = Map::new();
    inputs.insert("source".to_owned(), place(source));
    put(&mut inputs, "table", table(*format, csv));
    inputs.insert("id".to_owned(), json!(id));
    put(&mut inputs, "title", title.as_ref().map(|column| json!(column)));
    put(&mut inputs, "available", available.as_ref().map(|column| json!(column)));
    put(&mut inputs, "attributes", (!attributes.is_empty()).then(|| json!(attributes)));
    Value::Object(inputs)
}

fn fitted(algorithm: &Algorithm) -> Value {
    let parameters = match algorithm {
        Algorithm::Als(parameters) => unlike(parameters, &AlsConfig::default()),
        Algorithm::Svd(parameters) => unlike(parameters, &SvdConfig::default()),
        Algorithm::Bpr(parameters) => unlike(parameters, &BprConfig::default()),
    };
    json!({ algorithm.name(): parameters.unwrap_or_else(|| json!({})) })
}

fn put(into: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    into.extend(value.map(|value| (name.to_owned(), value)));
}

/// What is not the default; `None` when all of it is.
fn unlike<T: serde::Serialize>(value: &T, default: &T) -> Option<Value> {
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
    use crate::{Column, RunId, SplitKind, StoreConfig, WarmStart, Weighting};

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
            algorithm: Algorithm::Als(AlsConfig::default()),
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
            known_data_version: None,
            retrain_at: None,
            decided_at: None,
            incumbent: None,
        }
    }

    /// A config with everything that counts set to something else than the default.
    fn elaborate() -> TrainingConfig {
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
                available: None,
                attributes: Vec::new(),
            }),
            algorithm: Algorithm::Als(AlsConfig { factors: 8, ..AlsConfig::default() }),
            evaluation: EvaluationConfig { split: Some(SplitKind::Random), holdout: 0.2, k: 10 },
            seed: 7,
            ..config()
        }
    }

    #[test]
    fn what_is_hashed_is_written_here() {
        let plain =
            r#"{"algorithm":{"als":{}},"source":["s3://shop/ratings.csv","s3://shop/ratings.csv"],"version":1}"#;
        assert_eq!(canonical_json(&inputs(&config())), plain);
        let all = concat!(
            r#"{"algorithm":{"als":{"factors":8}},"columns":{"item":1,"rating":2,"user":0},"#,
            r#""items":{"id":"id","source":["file:///data/items.csv","key items.csv"],"title":"title"},"seed":7,"#,
            r#""signal":"explicit","source":["file:///data/visits.tsv","key visits.tsv"],"#,
            r#""split":{"holdout":0.2,"split":"random"},"table":{"csv":{"delimiter":";","header":false},"format":"tsv"},"#,
            r#""version":1}"#
        );
        assert_eq!(canonical_json(&inputs(&elaborate())), all);
    }

    #[test]
    fn weights_are_hashed_as_they_stand() {
        let weighed = TrainingConfig {
            columns: Columns { event: Some(Column::Name("what".into())), ..Columns::default() },
            weights: WeightsConfig {
                events: [("view".to_owned(), 1.0), ("buy".to_owned(), 10.0)].into(),
                half_life_seconds: Some(3600),
                weighting: Weighting::Log,
            },
            ..config()
        };
        let written = concat!(
            r#"{"algorithm":{"als":{}},"columns":{"event":"what"},"source":["s3://shop/ratings.csv","s3://shop/ratings.csv"],"#,
            r#""version":1,"weights":{"events":{"buy":10.0,"view":1.0},"halfLifeSeconds":3600,"weighting":"log"}}"#
        );
        assert_eq!(canonical_json(&inputs(&weighed)), written);
    }

    #[test]
    fn the_fingerprints_of_a_release_do_not_change() {
        // Golden, and as sha256sum says it of the texts above: a change retrains everything of everybody at upgrade.
        let (plain, all) = (config().config_hash(), elaborate().config_hash());
        assert_eq!((plain.revision(), all.revision()), ("4c264a8285", "1b49d60f10"));
        assert_eq!(config().fingerprint("v1").revision(), "d284900f96");
    }

    #[test]
    fn where_when_and_for_whom_do_not_count() {
        let mut elsewhere = config();
        elsewhere.run.number = 2;
        elsewhere.store.prefix = "other/".into();
        elsewhere.known_data_version = Some("v".into());
        elsewhere.retrain_at = Some("monday".into());
        elsewhere.decided_at = Some(9);
        assert_eq!(config().config_hash(), elsewhere.config_hash());
        assert_eq!(config().fingerprint("v1"), elsewhere.fingerprint("v1"));
    }

    #[test]
    fn everything_that_makes_another_model_counts() {
        let other_claim =
            Source { url: config().source.url, described_as: "ratings.csv on PersistentVolumeClaim shop/b".into() };
        let mut with_attributes = elaborate();
        with_attributes.items.as_mut().unwrap().attributes = vec![Column::Name("genre".into())];
        let others = [
            with_attributes,
            TrainingConfig { seed: 43, ..config() },
            TrainingConfig { source: other_claim, ..config() },
            TrainingConfig { signal: Signal::Explicit, ..config() },
            TrainingConfig { evaluation: EvaluationConfig { holdout: 0.2, ..EvaluationConfig::default() }, ..config() },
            TrainingConfig { algorithm: Algorithm::Svd(SvdConfig::default()), ..config() },
            TrainingConfig { algorithm: Algorithm::Als(AlsConfig { samples: 50, ..AlsConfig::default() }), ..config() },
            TrainingConfig {
                algorithm: Algorithm::Als(AlsConfig { iterations: 16, ..AlsConfig::default() }),
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
            TrainingConfig { warm_start: Some(WarmStart { digest: Digest::of(b"one"), iterations: 5 }), ..config() },
            TrainingConfig {
                warm_start: Some(WarmStart { digest: Digest::of(b"another"), iterations: 5 }),
                ..config()
            },
            elaborate(),
        ];
        let mut hashes: Vec<_> = others.iter().map(TrainingConfig::config_hash).collect();
        hashes.push(config().config_hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
        assert_ne!(config().fingerprint("v1"), config().fingerprint("v2"));
    }
}
