//! A batch: its lists are those of the command line, and are whole or absent wherever it dies.

use std::{path::Path, sync::Arc};

use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory};
use recommender_sidecar::{
    all_lists,
    batch::{self, Finished},
    list_file::ListFormat,
    loading,
};
use sidecar_contract::{BatchConfig, BatchId, CatalogueVersion, Digest, ExitCode, RevisionRef, StoreConfig};
use store_client::{Destination, Store, StoreError};

use crate::{
    catalogue::write_catalogue,
    crashing_store::{Crash, CrashingStore},
    model::train,
    process::{file_store, put},
};

const N: u32 = 3;

fn config(store: &StoreConfig, revision: &RevisionRef) -> BatchConfig {
    BatchConfig {
        id: BatchId::new(1_764_370_000, &revision.digest),
        name: "movies".to_owned(),
        revision: revision.digest.clone(),
        snapshot_bytes: revision.snapshot_bytes,
        catalogue: revision.catalogue.clone(),
        n: N,
        destination: "s3://shop/lists".to_owned(),
        spec_hash: BatchConfig::spec_hash_of(N, "s3://shop/lists"),
        store: store.clone(),
    }
}

/// Stores a model with a catalogue in which items 0 to 3 are not available.
async fn put_with_catalogue(store: &StoreConfig, model: &Path) -> RevisionRef {
    let mut revision = put(store, model).await;
    let file = loading::catalogue_beside(model);
    let version = CatalogueVersion::new(1_764_370_000, &Digest::of(b"table"));
    write_catalogue(model, &file, &version.to_string());
    let digest = Digest::of(&std::fs::read(&file).unwrap());
    let store = Store::open(store, None).unwrap();
    revision.catalogue = Some(store.put_catalogue(&version, &revision.digest, &file, &digest).await.unwrap());
    revision
}

/// The file that the command line writes, with the catalogue beside the model.
fn expected(model: &Path, directory: &Path) -> Vec<u8> {
    let local = loading::open_with_catalogue(model, None).unwrap();
    let file = directory.join("expected.parquet");
    all_lists::write(&local, N as usize, &file, ListFormat::Parquet).unwrap();
    std::fs::read(file).unwrap()
}

/// A destination in memory, with the requests to it.
fn destination(objects: Arc<dyn ObjectStore>) -> Destination {
    let directory = tempfile::tempdir().unwrap();
    let mut destination = Destination::open(&format!("file://{}", directory.path().display()), None).unwrap();
    destination.store.object_store = objects;
    destination
}

async fn objects(store: &dyn ObjectStore) -> Vec<(String, Vec<u8>)> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut objects = Vec::new();
    for object in listed {
        let content = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        objects.push((object.location.to_string(), content.to_vec()));
    }
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_batch_dies_its_lists_are_whole_or_absent() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let stored = file_store(at);
    let model = train(at, 3).await;
    let config = config(&stored, &put_with_catalogue(&stored, &model).await);
    let (name, whole) = (config.object_name(), expected(&model, at));
    let run = async |store: &Store, destination: Destination| {
        let work = tempfile::tempdir().unwrap();
        batch::run(&config, store, &Ok(destination), work.path()).await
    };
    let mut ends = 0;
    for crash_at in 0.. {
        for has_effect in [false, true] {
            let store = Store::open(&stored, None).unwrap();
            let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let crash = Crash::new(crash_at, has_effect);
            let dying = |inner: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
                Arc::new(CrashingStore { inner: Arc::clone(inner), crash: Arc::clone(&crash) })
            };
            let mut dying_store = store.clone();
            dying_store.object_store = dying(&store.object_store);
            let ended = crash.survives(run(&dying_store, destination(dying(&bucket)))).await;
            ends += usize::from(ended.is_some());

            let found = objects(&*bucket).await;
            assert!(found.is_empty() || found == [(name.clone(), whole.clone())], "{crash_at} {has_effect}");
            let committed = store.get_batch(&config.id).await;
            if committed.is_ok() {
                assert_eq!(found.len(), 1, "a result without lists: {crash_at} {has_effect}");
            }
            // The pod is started again.
            let Finished { exit, termination_message } = run(&store, destination(Arc::clone(&bucket))).await;
            assert_eq!(exit, ExitCode::Done, "{termination_message:?}");
            assert_eq!(objects(&*bucket).await, [(name.clone(), whole.clone())]);
            let result = store.get_batch(&config.id).await.unwrap();
            let lists = result.lists.unwrap();
            assert_eq!((lists.users, lists.rows, lists.bytes), (60, 60 * u64::from(N), whole.len() as u64));
            assert_eq!((&result.revision, &result.spec_hash), (&config.revision, &config.spec_hash));
            store.delete_batch(&config.id).await.unwrap();
        }
        if ends > 0 {
            assert_eq!(crash_at, 2, "a batch has two writes: the lists and the result");
            break;
        }
    }
}

#[tokio::test]
async fn a_large_file_appears_when_its_upload_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lists");
    let content: Vec<u8> = (0..20 * 1024 * 1024_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    for has_effect in [false, true] {
        let mut crash_at = 0;
        loop {
            let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let crash = Crash::new(crash_at, has_effect);
            let dying = CrashingStore { inner: Arc::clone(&bucket), crash: Arc::clone(&crash) };
            let ended = crash.survives(destination(Arc::new(dying)).put("lists.parquet", &file)).await;
            let found = objects(&*bucket).await;
            assert!(found.is_empty() || found == [("lists.parquet".to_owned(), content.clone())], "{crash_at}");
            if ended.is_some() {
                break;
            }
            crash_at += 1;
        }
        assert_eq!(crash_at, 5, "the start of the upload, three parts and its completion");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_user_can_change_ends_a_batch_and_the_rest_is_retried() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let stored = file_store(at);
    let config = config(&stored, &put(&stored, &train(at, 3).await).await);
    let store = Store::open(&stored, None).unwrap();
    let invalid = Err(StoreError::Config("Secret lists has none of these keys".to_owned()));
    let Finished { exit, termination_message } = batch::run(&config, &store, &invalid, at).await;
    assert_eq!((exit, termination_message.reason.as_str()), (ExitCode::NoInput, "BatchFailed"));
    let result = store.get_batch(&config.id).await.unwrap();
    assert_eq!(result.lists, None);
    let expected = "spec.batch.destination: store configuration: Secret lists has none of these keys";
    assert_eq!(result.failure, expected);

    let missing = BatchConfig { id: BatchId::new(1_764_370_001, &Digest::of(b"")), ..config.clone() };
    let missing = BatchConfig { revision: Digest::of(b"no such model"), ..missing };
    let destination = Ok(destination(Arc::new(InMemory::new())));
    let finished = batch::run(&missing, &store, &destination, at).await;
    assert_eq!(finished.exit, ExitCode::NoInput, "{:?}", finished.termination_message);

    // Nothing listens at the port.
    let unreachable =
        StoreConfig { url: "s3://recmesh".to_owned(), endpoint: Some("http://127.0.0.1:1".to_owned()), ..stored };
    let credentials = store_client::StoreCredentials::AccessKey {
        access_key_id: "shop.movies.train".to_owned(),
        secret_access_key: "secret".to_owned(),
    };
    let unreachable = Store::open(&unreachable, Some(&credentials)).unwrap();
    let finished = batch::run(&config, &unreachable, &destination, at).await;
    assert_eq!(finished.exit, ExitCode::Retry, "{:?}", finished.termination_message);
}
