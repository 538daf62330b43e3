//! The follower with catalogues: a revision is never served without the one that the config names,
//! and another one is swapped in without a load of the model.

use std::{path::Path, sync::Arc};

use model_snapshot::Snapshot;
use recommender_sidecar::{admin::Report, engine::Engine, follower::Follower, metrics::Metrics};
use serde_json::json;
use sidecar_contract::{CatalogueRef, Digest, ServingConfig, canonical_json};
use store_client::Store;

use crate::{catalogue::write_catalogue, follower::follower_and_metrics, model::train};

struct Setup {
    directory: tempfile::TempDir,
    engine: Arc<Engine>,
    report: Arc<Report>,
    follower: Follower,
    metrics: Arc<Metrics>,
}

impl Setup {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("store")).unwrap();
        let (engine, report, follower, metrics) = follower_and_metrics(directory.path());
        Self { directory, engine, report, follower, metrics }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a config with this revision and catalogue.
    fn configure(&self, revision: &Digest, catalogue: Option<&CatalogueRef>) -> ServingConfig {
        let mut config: ServingConfig = serde_json::from_value(json!({
            "namespace": "shop", "name": "movies",
            "store": {"url": format!("file://{}", self.path().join("store").display()), "region": "r", "prefix": "p/"},
            "revisions": [{"digest": revision.as_str(), "snapshotBytes": 1_000_000, "role": "desired"}],
        }))
        .unwrap();
        config.revisions[0].catalogue = catalogue.cloned();
        std::fs::write(self.path().join("serving.json"), canonical_json(&config)).unwrap();
        config
    }

    async fn put_model(&self, factors: u32) -> (std::path::PathBuf, Digest) {
        let path = train(self.path(), factors).await;
        let digest = Snapshot::read(&path).unwrap().digest();
        let store = self.configure(&digest, None).store;
        Store::open(&store, None).unwrap().put_snapshot(&path, &digest).await.unwrap();
        (path, digest)
    }

    /// A catalogue of a model, and the file that the store does not have yet.
    fn catalogue(&self, (model, revision): &(std::path::PathBuf, Digest), version: &str) -> CatalogueRef {
        let file = self.path().join(version);
        write_catalogue(model, &file, version);
        let bytes = std::fs::read(&file).unwrap();
        let key = format!("catalogue/{version}/{revision}");
        CatalogueRef { version: version.to_owned(), digest: Digest::of(&bytes), bytes: bytes.len() as u64, key }
    }

    fn put(&self, catalogue: &CatalogueRef) {
        let to = self.path().join("store/p").join(&catalogue.key);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(self.path().join(&catalogue.version), to).unwrap();
    }

    /// Revision and version of the catalogue that serve.
    fn serving(&self) -> Option<(Digest, Option<String>)> {
        let serving = self.engine.serving();
        let local = serving.local()?;
        let version = local.catalogue().map(|catalogue| catalogue.version().to_owned());
        assert_eq!(self.report.get().loaded.unwrap().catalogue, version);
        Some((local.model().digest().clone(), version))
    }

    /// Values of the series of catalogues, without their names' common start.
    fn series(&self) -> Vec<String> {
        let text = String::from_utf8(self.metrics.encode(None).unwrap()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("recommender_catalogue_")).map(str::to_owned).collect()
    }

    fn cached(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join("cache/snapshots")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".catalogue")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_waits_for_its_catalogue_and_later_ones_need_no_load_of_the_model() {
    let mut setup = Setup::new();
    let first = setup.put_model(4).await;
    let v1 = setup.catalogue(&first, "1764370000-3f9a1c20be");
    setup.configure(&first.1, Some(&v1));
    setup.follower.step().await;
    assert_eq!(setup.serving(), None, "the store does not have the catalogue yet");
    assert_eq!(setup.report.get().failure.unwrap().reason, "NotFound");
    setup.put(&v1);
    // Another text of the same config ends the pause.
    let text = canonical_json(&setup.configure(&first.1, Some(&v1)));
    std::fs::write(setup.path().join("serving.json"), text + "\n").unwrap();
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some((first.1.clone(), Some(v1.version.clone()))));
    let series = [
        "decided_timestamp_seconds 1764370000",
        "items{state=\"all\"} 20",
        "items{state=\"available\"} 16",
        "swaps_total 0",
    ];
    assert_eq!(setup.series(), series);

    let model = Arc::clone(setup.engine.serving().local().unwrap().model());
    let v2 = setup.catalogue(&first, "v2");
    setup.put(&v2);
    setup.configure(&first.1, Some(&v2));
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some((first.1.clone(), Some("v2".to_owned()))));
    assert!(Arc::ptr_eq(&model, setup.engine.serving().local().unwrap().model()), "the model was not loaded again");
    assert_eq!(setup.cached(), [format!("{}.catalogue", v2.digest)]);

    // One that is not in the store, one of another revision, and one with other bytes.
    let second = setup.put_model(5).await;
    let (v3, v4, v5) = (setup.catalogue(&first, "v3"), setup.catalogue(&second, "v4"), setup.catalogue(&first, "v5"));
    setup.put(&v4);
    setup.put(&CatalogueRef { version: "v3".to_owned(), ..v5.clone() });
    for bad in [&v3, &v4, &v5] {
        setup.configure(&first.1, Some(bad));
        setup.follower.step().await;
        assert_eq!(setup.serving(), Some((first.1.clone(), Some("v2".to_owned()))), "{}", bad.version);
    }

    let series = setup.series();
    assert!(series.contains(&"swaps_total 1".to_owned()) && !series.iter().any(|line| line.contains("timestamp")));
    let failures = series.iter().filter(|line| line.starts_with("load_failures_total{"));
    let failures = failures.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(failures.sum::<u64>(), 3, "{series:?}");

    // A new revision is not swapped in before its catalogue, nor with that of another one.
    let v6 = setup.catalogue(&second, "v6");
    for wrong in [&v6, &v2] {
        setup.configure(&second.1, Some(wrong));
        setup.follower.step().await;
        assert_eq!(setup.serving(), Some((first.1.clone(), Some("v2".to_owned()))));
    }
    setup.put(&v6);
    setup.configure(&second.1, Some(&v6));
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some((second.1.clone(), Some("v6".to_owned()))));
    setup.configure(&second.1, None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some((second.1, None)));
    assert!(!setup.series().iter().any(|line| line.starts_with("items")));
}
