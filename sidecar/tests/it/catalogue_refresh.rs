//! Refreshes of a catalogue: what is committed is whole wherever a refresh dies, and however many
//! run at once. What is announced before stays as it is.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use catalogue::Catalogue;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use recommender_trainer::{Options, Refreshed, refresh_catalogue};
use sidecar_contract::{
    CatalogueConfig, CatalogueRef, Column, Csv, Digest, ExitCode, FilterColumn, FilterKind, Items, RevisionRef, Source,
    StoreConfig,
};
use store_client::Store;

use crate::{
    crashing_store::{Crash, CrashingStore},
    model::train,
    process::{file_store, put},
};

/// A refresh by the table `items.csv` of a directory, with the columns `id`, `title`, `stock` and
/// `genre`.
pub fn config(directory: &Path, revision: &RevisionRef, store: &StoreConfig, decided_at: i64) -> CatalogueConfig {
    let name = |name: &str| Column::Name(name.to_owned());
    CatalogueConfig {
        decided_at,
        revision: revision.digest.clone(),
        snapshot_bytes: revision.snapshot_bytes,
        items: Items {
            source: Source {
                url: format!("file://{}", directory.join("items.csv").display()),
                described_as: "items.csv".to_owned(),
            },
            format: None,
            csv: Csv::default(),
            id: name("id"),
            title: Some(name("title")),
            available: Some(name("stock")),
            attributes: Vec::new(),
        },
        filters: vec![FilterColumn { column: name("genre"), name: None, kind: FilterKind::Category }],
        known: None,
        held: None,
        accepted: None,
        spec_hash: Digest::of(b"spec"),
        store: store.clone(),
    }
}

/// Replaces the table of a directory. No refresh reads a part of it.
pub fn write_table(directory: &Path, rows: impl Iterator<Item = String>) {
    let table = "id,title,stock,genre\n".to_owned() + &rows.collect::<String>();
    std::fs::write(directory.join("items.csv.new"), table).unwrap();
    std::fs::rename(directory.join("items.csv.new"), directory.join("items.csv")).unwrap();
}

/// A stored model, and an item table.
struct Setup {
    directory: tempfile::TempDir,
    stored: StoreConfig,
    revision: RevisionRef,
}

impl Setup {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stored = file_store(directory.path());
        let revision = put(&stored, &train(directory.path(), 3).await).await;
        let setup = Self { directory, stored, revision };
        setup.set_out_of_stock(3);
        setup
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a table in which this item is out of stock.
    fn set_out_of_stock(&self, out: u32) {
        let row = |item: u32| format!("item{item},Title {item},{},{}\n", u8::from(item != out), item % 3);
        write_table(self.at(), (0..20).map(row));
    }

    fn store(&self) -> Store {
        Store::open(&self.stored, None).unwrap()
    }

    async fn refresh(&self, store: &Store, decided_at: i64) -> Refreshed {
        let options = Options { work_dir: Some(self.at().to_owned()), ..Options::default() };
        refresh_catalogue(&config(self.at(), &self.revision, &self.stored, decided_at), store, &options).await
    }

    async fn made(&self, decided_at: i64) -> CatalogueRef {
        let Refreshed { exit, termination_message, result } = self.refresh(&self.store(), decided_at).await;
        assert_eq!(exit, ExitCode::Done, "{termination_message:?}");
        result.unwrap().catalogue.unwrap()
    }

    /// The item that is out of stock in a catalogue, which is whole.
    async fn out_of_stock(&self, announced: &CatalogueRef) -> Vec<String> {
        let copy = self.at().join("copy");
        self.store().fetch_catalogue_to(announced, &copy).await.unwrap();
        let catalogue = Catalogue::read(&copy).unwrap();
        catalogue.verify_digest(&announced.digest).unwrap();
        catalogue.verify_revision(&self.revision.digest, 20).unwrap();
        assert_eq!(catalogue.version(), announced.version);
        let model = self.store();
        let snapshot = self.at().join("snapshot");
        model.fetch_snapshot_to(&self.revision.digest, &snapshot, self.revision.snapshot_bytes).await.unwrap();
        let snapshot = model_snapshot::Snapshot::read(&snapshot).unwrap();
        let out = (0..20).filter(|row| !catalogue.is_available(*row));
        out.map(|row| snapshot.item_id(row).unwrap().to_owned()).collect()
    }

    /// Catalogues of committed results, by version, each of them whole.
    async fn committed(&self) -> BTreeMap<String, Vec<String>> {
        let store = self.store();
        let mut found = BTreeMap::new();
        for (version, revision) in store.list_catalogue_results().await.unwrap() {
            let result = store.get_catalogue_result(&version, &revision).await.unwrap();
            let announced = result.catalogue.unwrap();
            found.insert(announced.version.clone(), self.out_of_stock(&announced).await);
        }
        found
    }

    /// Deletes every object of catalogues.
    async fn delete_all(&self) {
        let store = self.store();
        let prefix = object_store::path::Path::from(store.keys.catalogues());
        let objects: Vec<_> = store.object_store.list(Some(&prefix)).try_collect().await.unwrap();
        for object in objects {
            store.object_store.delete(&object.location).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_refresh_dies_what_is_committed_is_whole() {
    let setup = Setup::new().await;
    let mut ends = 0;
    for crash_at in 0.. {
        for has_effect in [false, true] {
            setup.set_out_of_stock(3);
            let before = setup.made(100).await;
            setup.set_out_of_stock(5);
            let crash = Crash::new(crash_at, has_effect);
            let mut dying = setup.store();
            dying.object_store =
                Arc::new(CrashingStore { inner: Arc::clone(&dying.object_store), crash: Arc::clone(&crash) });
            let ended = crash.survives(setup.refresh(&dying, 200)).await;
            ends += usize::from(ended.is_some());

            let committed = setup.committed().await;
            assert_eq!(committed.get(&before.version), Some(&vec!["item3".to_owned()]), "what serves is as it was");
            assert!(committed.values().filter(|out| *out != &["item3"]).all(|out| out == &["item5"]));
            // The pod is started again.
            let after = setup.made(200).await;
            let committed = setup.committed().await;
            assert_eq!(committed.len(), 2, "{crash_at} {has_effect}");
            assert_eq!(committed[&after.version], ["item5"]);
            setup.delete_all().await;
        }
        if ends > 0 {
            assert_eq!(crash_at, 2, "a refresh has two writes: the catalogue and the result");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refreshes_at_once_commit_one_result_or_two_whole_ones() {
    let setup = Setup::new().await;
    // The pod of a Job that was thought lost, and the one that replaces it.
    let store = setup.store();
    let (one, other) = tokio::join!(setup.refresh(&store, 100), setup.refresh(&store, 100));
    assert_eq!((one.exit, other.exit), (ExitCode::Done, ExitCode::Done));
    let made = one.result.unwrap().catalogue;
    assert_eq!(made, other.result.unwrap().catalogue);
    assert_eq!(setup.committed().await, BTreeMap::from([(made.unwrap().version, vec!["item3".to_owned()])]));
    // Refreshes that were decided at different times, while the table changes.
    let (_, _, ()) = tokio::join!(setup.refresh(&store, 200), setup.refresh(&store, 300), async {
        setup.set_out_of_stock(5);
    });
    let last = setup.made(400).await;
    let committed = setup.committed().await;
    assert!(committed.values().all(|out| out == &["item3"] || out == &["item5"]), "{committed:?}");
    assert_eq!(committed[&last.version], ["item5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_reads_the_ids_of_the_snapshot_alone_and_detects_changed_ones() {
    let setup = Setup::new().await;
    let stored = setup.at().join(format!("store/1b2c/shop/movies/snapshots/{}.safetensors", setup.revision.digest));
    let bytes = std::fs::read(&stored).unwrap();
    let replace = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.clone();
        change(&mut changed);
        std::fs::write(&stored, changed).unwrap();
    };
    // The last byte of the checksum of all bytes, before its padding.
    replace(&|bytes| {
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[last] ^= 1;
    });
    setup.made(100).await;
    let id = bytes.windows(5).position(|bytes| bytes == b"item1").unwrap();
    replace(&|bytes| bytes[id + 4] = b'7');
    let Refreshed { exit, termination_message, .. } = setup.refresh(&setup.store(), 200).await;
    assert_eq!(exit, ExitCode::Retry);
    assert!(termination_message.message.contains("the ids have changed"), "{termination_message:?}");
    replace(&|_| {});
    setup.made(200).await;
}
