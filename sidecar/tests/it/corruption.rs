//! Damaged snapshots: the running follower rejects and reports any flipped bit and any truncation,
//! in the store and in the pod's copy, and the old model keeps serving.

use std::path::PathBuf;

use recommender_sidecar::engine::Engine;
use sidecar_contract::{Digest, RevisionRef, ServingLimits, StoreConfig};

use crate::{
    follower::{follower, serving_digest},
    model::train,
    process::{configure, file_store, last_good, put},
};

/// Number of positions at which a bit is flipped, and of those at which the file is truncated.
const POSITIONS: usize = 600;

/// Distinct positions below `length`, evenly spread, from a fixed seed; they include the first and
/// last bytes.
fn positions(length: usize) -> Vec<usize> {
    let mut random: u64 = 42;
    let mut found: Vec<usize> = (0..POSITIONS - 4)
        .map(|index| {
            // A linear congruential generator (Knuth's constants for MMIX) picks one position in
            // each of equal pieces.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let piece = length / (POSITIONS - 4);
            index * piece + usize::try_from(random >> 33).unwrap() % piece
        })
        .collect();
    found.extend([0, 1, length - 2, length - 1]);
    found.sort_unstable();
    found.dedup();
    found
}

struct Damage {
    directory: tempfile::TempDir,
    store: StoreConfig,
    good: RevisionRef,
    new: RevisionRef,
    /// Bytes of the new revision.
    bytes: Vec<u8>,
}

impl Damage {
    async fn prepare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = file_store(directory.path());
        let good = put(&store, &train(directory.path(), 3).await).await;
        let path = train(directory.path(), 4).await;
        let new = put(&store, &path).await;
        Self { store, good, new, bytes: std::fs::read(path).unwrap(), directory }
    }

    fn stored(&self) -> PathBuf {
        self.directory.path().join("store/1b2c/shop/movies/snapshots").join(format!("{}.safetensors", self.new.digest))
    }

    fn cached(&self) -> PathBuf {
        self.directory.path().join("cache/snapshots").join(format!("{}.safetensors", self.new.digest))
    }

    /// Damaged versions of the new revision's file.
    fn damaged(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let flipped = positions(self.bytes.len()).into_iter().enumerate().map(|(index, at)| {
            let mut bytes = self.bytes.clone();
            bytes[at] ^= 1 << (index % 8);
            (format!("bit {} of byte {at} flipped", index % 8), bytes)
        });
        let truncated =
            positions(self.bytes.len()).into_iter().map(|at| (format!("truncated at {at}"), self.bytes[..at].to_vec()));
        flipped.chain(truncated)
    }

    /// Writes each damaged file to `path` and makes the new revision the desired one; the follower
    /// must report one of `reasons`. With the intact file, the same follower loads it.
    async fn assert_each_is_rejected(&self, path: PathBuf, reasons: &[&str]) {
        let at = self.directory.path();
        let (engine, report, mut follower) = follower(at);
        let serving = |engine: &Engine| serving_digest(engine).unwrap();
        let mut tried = 0;
        for (what, bytes) in self.damaged() {
            configure(at, &self.store, std::slice::from_ref(&self.good), ServingLimits::default());
            follower.step().await;
            assert_eq!(serving(&engine), self.good.digest, "before {what}");
            std::fs::write(&path, bytes).unwrap();
            // A new config is tried at once, without a retry delay.
            let new = RevisionRef { trained_at: tried, ..self.new.clone() };
            configure(at, &self.store, &[new, last_good(&self.good)], ServingLimits::default());
            follower.step().await;
            assert_eq!(serving(&engine), self.good.digest, "{what}");
            let failure = report.get().failure.unwrap_or_else(|| panic!("{what} is not reported"));
            assert_eq!(failure.digest, self.new.digest, "{what}");
            assert!(reasons.contains(&failure.reason.as_str()), "{what}: {failure:?}");
            assert!(!failure.message.is_empty());
            tried += 1;
        }
        assert!(tried >= 1000, "{tried}");
        std::fs::write(&path, &self.bytes).unwrap();
        configure(at, &self.store, std::slice::from_ref(&self.new), ServingLimits::default());
        follower.step().await;
        assert_eq!(serving(&engine), self.new.digest);
        assert_eq!(report.get().failure, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_from_the_store_are_rejected() {
    let damage = Damage::prepare().await;
    damage.assert_each_is_rejected(damage.stored(), &["DigestMismatch"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_in_the_pod_is_rejected() {
    let damage = Damage::prepare().await;
    // No intact copy can be fetched; the test below covers the replacement of a damaged copy.
    std::fs::remove_file(damage.stored()).unwrap();
    std::fs::create_dir_all(damage.directory.path().join("cache/snapshots")).unwrap();
    damage.assert_each_is_rejected(damage.cached(), &["DigestMismatch", "Corrupt", "FormatUnknown"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_fetched_again() {
    let damage = Damage::prepare().await;
    let at = damage.directory.path();
    std::fs::create_dir_all(at.join("cache/snapshots")).unwrap();
    std::fs::write(damage.cached(), &damage.bytes[..damage.bytes.len() / 2]).unwrap();
    let (engine, report, mut follower) = follower(at);
    configure(at, &damage.store, std::slice::from_ref(&damage.new), ServingLimits::default());
    follower.step().await;
    assert!(serving_digest(&engine).is_none() && report.get().failure.is_some());
    configure(at, &damage.store, &[RevisionRef { trained_at: 7, ..damage.new.clone() }], ServingLimits::default());
    follower.step().await;
    assert_eq!(serving_digest(&engine).unwrap(), damage.new.digest);
    assert_eq!(Digest::of(&std::fs::read(damage.cached()).unwrap()), damage.new.digest);
}
