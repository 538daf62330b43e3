//! Damage, byte by byte, through the follower as it runs: whatever is flipped or cut, in the store or in the pod's own copy,
//! is refused and reported, and the old model goes on answering.

use std::path::PathBuf;

use sidecar_contract::{Digest, RevisionRef, ServingLimits, StoreConfig};

use crate::{
    follower::follower,
    model::train,
    process::{configure, file_store, last_good, put},
};

/// Positions to flip, and as many to cut at.
const POSITIONS: usize = 600;

/// Different positions below `length`, spread over all of it, from a fixed seed; the first and last bytes among them.
fn positions(length: usize) -> Vec<usize> {
    let mut random: u64 = 42;
    let mut found: Vec<usize> = (0..POSITIONS - 4)
        .map(|place| {
            // A linear congruential generator (Knuth's constants for MMIX) picks one in each of so many equal pieces.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let piece = length / (POSITIONS - 4);
            place * piece + usize::try_from(random >> 33).unwrap() % piece
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
    /// The new revision's bytes.
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
        self.directory.path().join("cache").join(format!("{}.safetensors", self.new.digest))
    }

    /// What the new revision's file could be instead.
    fn damaged(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let flipped = positions(self.bytes.len()).into_iter().enumerate().map(|(place, at)| {
            let mut bytes = self.bytes.clone();
            bytes[at] ^= 1 << (place % 8);
            (format!("bit {} of byte {at} flipped", place % 8), bytes)
        });
        let cut = positions(self.bytes.len()).into_iter().map(|at| (format!("cut at {at}"), self.bytes[..at].to_vec()));
        flipped.chain(cut)
    }

    /// Puts each damaged file at `place` and has the follower take the new revision; what it reports must be one of
    /// `reasons`. With the file mended, the same follower takes it.
    async fn each_is_refused(&self, place: PathBuf, reasons: &[&str]) {
        let at = self.directory.path();
        let (engine, report, mut follower) = follower(at);
        let serving = |engine: &recommender_sidecar::engine::Engine| engine.model().unwrap().digest.clone();
        let mut tried = 0;
        for (what, bytes) in self.damaged() {
            configure(at, &self.store, std::slice::from_ref(&self.good), ServingLimits::default());
            follower.step().await;
            assert_eq!(serving(&engine), self.good.digest, "before {what}");
            std::fs::write(&place, bytes).unwrap();
            // A config that was not seen before is tried at once.
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
        std::fs::write(&place, &self.bytes).unwrap();
        configure(at, &self.store, std::slice::from_ref(&self.new), ServingLimits::default());
        follower.step().await;
        assert_eq!(serving(&engine), self.new.digest);
        assert_eq!(report.get().failure, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_serves_damaged_bytes_changes_nothing() {
    let damage = Damage::prepare().await;
    damage.each_is_refused(damage.stored(), &["DigestMismatch"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_in_the_pod_changes_nothing() {
    let damage = Damage::prepare().await;
    // Nothing can be fetched instead; that a damaged copy is replaced by a whole one is tested below.
    std::fs::remove_file(damage.stored()).unwrap();
    std::fs::create_dir_all(damage.directory.path().join("cache")).unwrap();
    damage.each_is_refused(damage.cached(), &["DigestMismatch", "Corrupt", "FormatUnknown"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_replaced_by_what_the_store_has() {
    let damage = Damage::prepare().await;
    let at = damage.directory.path();
    std::fs::create_dir_all(at.join("cache")).unwrap();
    std::fs::write(damage.cached(), &damage.bytes[..damage.bytes.len() / 2]).unwrap();
    let (engine, report, mut follower) = follower(at);
    configure(at, &damage.store, std::slice::from_ref(&damage.new), ServingLimits::default());
    follower.step().await;
    assert!(engine.model().is_none() && report.get().failure.is_some());
    configure(at, &damage.store, &[RevisionRef { trained_at: 7, ..damage.new.clone() }], ServingLimits::default());
    follower.step().await;
    assert_eq!(engine.model().unwrap().digest, damage.new.digest);
    assert_eq!(Digest::of(&std::fs::read(damage.cached()).unwrap()), damage.new.digest);
}
