//! Test setup: a directory with a source and a store, and small data sets with a structure that a
//! model can learn.

use std::{fmt::Write as _, path::PathBuf};

use catalogue::Catalogue;
use model_snapshot::Snapshot;
use recommender_trainer::{Finished, Options, local_config, progress::Silent, refresh_catalogue, train_to_file};
use sidecar_contract::{
    Algorithm, AlsConfig, CatalogueConfig, Digest, ExitCode, RunId, RunOutcome, RunResult, StoreConfig, TrainingConfig,
};
use store_client::Store;

pub struct Setup {
    pub directory: tempfile::TempDir,
    pub config: TrainingConfig,
    pub options: Options,
}

impl Setup {
    /// Creates a source with this content and an empty store.
    pub fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join(name);
        std::fs::write(&source, content).unwrap();
        let mut config = local_config(&source);
        config.run = RunId { number: 1, attempt: "0123456789".to_owned() };
        config.algorithm = Algorithm::Als(AlsConfig { factors: 8, iterations: 3, ..AlsConfig::WIRE_DEFAULT });
        config.store = StoreConfig {
            url: format!("file://{}", directory.path().join("store").display()),
            endpoint: None,
            region: "us-east-1".to_owned(),
            prefix: "installation/shop/movies/".to_owned(),
        };
        let options = Options { work_dir: Some(directory.path().to_owned()), ..Options::default() };
        Self { directory, config, options }
    }

    pub fn source(&self) -> PathBuf {
        PathBuf::from(self.config.source.url.strip_prefix("file://").unwrap())
    }

    pub fn store(&self) -> Store {
        Store::open(&self.config.store, None).unwrap()
    }

    pub fn run(&self) -> Finished {
        let run = async { recommender_trainer::run(&self.config, &self.store(), &Silent, &self.options).await };
        let finished = runtime().block_on(run);
        finished.result.as_ref().inspect(|result| check_counts(result));
        finished
    }

    /// Runs and expects a model.
    pub fn trained(&self) -> (RunResult, Snapshot) {
        let finished = self.run();
        assert_eq!(
            finished.exit,
            ExitCode::Done,
            "{}: {}",
            finished.termination_message.reason,
            finished.termination_message.message
        );
        assert_eq!(finished.termination_message.reason, "Trained");
        let result = finished.result.unwrap();
        let RunOutcome::Trained { digest, .. } = &result.outcome else { panic!("{result:?}") };
        let snapshot = Snapshot::read(&self.snapshot_path(digest)).unwrap();
        snapshot.verify_digest(digest).unwrap();
        (result, snapshot)
    }

    /// Title and availability of items in the catalogue that a refresh makes from the config's item
    /// table.
    pub fn in_catalogue(&self, ids: &[&str]) -> Vec<(Option<String>, bool)> {
        let (result, snapshot) = self.trained();
        let RunOutcome::Trained { digest, snapshot_bytes, .. } = result.outcome else { panic!("not trained") };
        let config = CatalogueConfig {
            decided_at: 1,
            revision: digest,
            snapshot_bytes,
            items: self.config.items.clone().unwrap(),
            filters: Vec::new(),
            known: None,
            held: None,
            accepted: None,
            spec_hash: Digest::of(b"spec"),
            store: self.config.store.clone(),
        };
        let copy = self.directory.path().join("catalogue");
        let refreshed = runtime().block_on(async {
            let refreshed = refresh_catalogue(&config, &self.store(), &self.options).await;
            if let Some(made) = refreshed.result.as_ref().and_then(|result| result.catalogue.as_ref()) {
                self.store().fetch_catalogue_to(made, &copy).await.unwrap();
            }
            refreshed
        });
        assert_eq!(refreshed.exit, ExitCode::Done, "{:?}", refreshed.termination_message);
        let catalogue = Catalogue::read(&copy).unwrap();
        let of = |id: &&str| {
            let item = snapshot.item_index(id).unwrap();
            (catalogue.title(item).map(str::to_owned), catalogue.is_available(item))
        };
        ids.iter().map(of).collect()
    }

    /// Digest of the model of a run; the command line trains the same one.
    pub fn digest(&self) -> Digest {
        let (result, _) = self.trained();
        let RunOutcome::Trained { digest, .. } = result.outcome else { panic!("{result:?}") };
        let file = self.directory.path().join("model.safetensors");
        let trained = runtime().block_on(train_to_file(&self.config, &file, &Silent, &self.options)).unwrap();
        assert_eq!((&trained.trained.written.digest, &trained.rows), (&digest, &result.rows));
        digest
    }

    /// Runs and expects this failure to be committed; returns its message.
    pub fn failed(&self, exit: ExitCode, reason: &str) -> String {
        let finished = self.run();
        assert_eq!(
            (finished.exit, finished.termination_message.reason.as_str()),
            (exit, reason),
            "{}",
            finished.termination_message.message
        );
        let committed = runtime().block_on(async { self.store().get_run(&self.config.run).await.unwrap() });
        assert_eq!(finished.result.as_ref(), Some(&committed));
        let RunOutcome::Failed { reason: committed, message } = committed.outcome else { panic!("{committed:?}") };
        assert_eq!((committed.as_str(), &message), (reason, &finished.termination_message.message));
        message
    }

    pub fn snapshot_path(&self, digest: &Digest) -> PathBuf {
        let key = self.store().keys.snapshot(digest);
        self.directory.path().join("store").join(key)
    }

    /// Sorted keys in the store.
    pub fn stored(&self) -> Vec<String> {
        let store = self.directory.path().join("store");
        let mut found = Vec::new();
        let mut directories = vec![store.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.push(path.strip_prefix(&store).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

/// In every run, a row is used, merged into another one, or dropped for a reason.
fn check_counts(result: &RunResult) {
    let rows = &result.rows;
    assert_eq!(rows.read, rows.kept + rows.dropped.values().sum::<u64>(), "{rows:?}");
    if let RunOutcome::Trained { interactions, .. } = &result.outcome {
        assert_eq!(*interactions, rows.kept - rows.merged, "{rows:?}");
    }
    assert!(rows.reinterpreted.values().all(|count| *count <= rows.read), "{rows:?}");
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A linear congruential generator with Knuth's constants; uses the upper half of the state.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Visits of 300 users in 3 groups to 60 items: nine of ten visits are to the group's own twenty
/// items. All pairs are distinct.
pub fn grouped_visits() -> Vec<(String, String)> {
    let mut numbers = Numbers(7);
    let mut pairs = std::collections::BTreeSet::new();
    for user in 0..300 {
        for _ in 0..(4 + numbers.below(8)) {
            let group = if numbers.below(10) == 0 { numbers.below(3) } else { user % 3 };
            pairs.insert((format!("user{user:03}"), format!("item{:02}", group * 20 + numbers.below(20))));
        }
    }
    pairs.into_iter().collect()
}

/// Ratings from 1 to 9 of 300 users in 3 groups: plus 4 for an item of the group, plus biases of
/// user and item, plus noise. All pairs are distinct.
pub fn grouped_ratings() -> String {
    let mut numbers = Numbers(11);
    let mut text = "user_id,item_id,rating\n".to_owned();
    for user in 0..300_u64 {
        for item in (0..60_u64).filter(|item| (item * 31 + user * 17) % 4 == 0) {
            let own = if item / 20 == user % 3 { 4 } else { 0 };
            let rating = 2 + own + user / 3 % 2 + item % 2 + numbers.below(2);
            writeln!(text, "user{user:03},item{item:02},{rating}").unwrap();
        }
    }
    text
}

/// CSV with the default column names.
pub fn csv(pairs: &[(String, String)]) -> String {
    let mut text = "user_id,item_id\n".to_owned();
    for (user, item) in pairs {
        writeln!(text, "{user},{item}").unwrap();
    }
    text
}
