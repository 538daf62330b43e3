//! Acknowledged writes survive a crash, unacknowledged writes leave no partial objects, and exactly
//! one of several concurrent creations succeeds.

use std::time::Duration;

use sidecar_contract::{
    Digest, RowCounts, RunId, RunOutcome, RunResult, credentials::Role, run_result::RUN_RESULT_VERSION,
};
use store_client::{Creation, Store, StoreCredentials};

use crate::process::{Process, key};

fn open(process: &Process, role: Role) -> Store {
    let (access_key_id, secret_access_key) = key(role);
    Store::open(&process.config(), Some(&StoreCredentials::AccessKey { access_key_id, secret_access_key })).unwrap()
}

fn result(number: u32, finished_at: i64) -> RunResult {
    RunResult {
        version: RUN_RESULT_VERSION,
        run: RunId { number, attempt: "0123456789".into() },
        config_hash: Digest::of(b"config"),
        data_version: "v".into(),
        outcome: RunOutcome::Unchanged,
        rows: RowCounts::default(),
        retrain_at: None,
        decided_at: None,
        fingerprint: None,
        started_at: 0,
        finished_at,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_snapshots_survive_sigkill_and_partial_ones_are_invisible() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(Digest, Vec<u8>)> = Vec::new();
    let mut next: u32 = 0;
    for round in 0_u64..12 {
        let mut process = Process::start(directory.path());
        let (train, serve) = (open(&process, Role::Train), open(&process, Role::Serve));
        for (digest, bytes) in &acknowledged {
            let copy = directory.path().join("copy");
            serve.fetch_snapshot_to(digest, &copy, u64::MAX).await.unwrap();
            assert_eq!(std::fs::read(copy).unwrap(), *bytes);
        }
        let (puts, mut acknowledgements) = tokio::sync::watch::channel(0);
        let putting = tokio::spawn({
            let file = directory.path().join("snapshot");
            async move {
                let mut done = Vec::new();
                loop {
                    next += 1;
                    let bytes: Vec<u8> = next.to_le_bytes().iter().copied().cycle().take(300_000).collect();
                    std::fs::write(&file, &bytes).unwrap();
                    let digest = Digest::of(&bytes);
                    if train.put_snapshot(&file, &digest).await.is_err() {
                        return (done, next);
                    }
                    done.push((digest, bytes));
                    puts.send_replace(done.len());
                }
            }
        });
        // Kills at a different moment in each round, but after one acknowledgement. The assertions
        // hold for any timing.
        acknowledgements.wait_for(|puts| *puts > 0).await.expect("the first put of a round succeeds");
        tokio::time::sleep(Duration::from_millis(5 + 13 * round)).await;
        process.kill();
        let (done, last) = putting.await.unwrap();
        acknowledged.extend(done);
        next = last;
    }
    let process = Process::start(directory.path());
    let operator = open(&process, Role::Operator);
    let listed = operator.list_snapshots().await.unwrap();
    let listed_digests: Vec<&Digest> = listed.iter().map(|snapshot| &snapshot.digest).collect();
    let lost: Vec<&Digest> =
        acknowledged.iter().map(|(digest, _)| digest).filter(|digest| !listed_digests.contains(digest)).collect();
    assert!(lost.is_empty(), "not listed: {lost:?}");
    // Every listed snapshot is complete: fetching verifies the digest.
    let serve = open(&process, Role::Serve);
    for snapshot in listed {
        serve.fetch_snapshot_to(&snapshot.digest, &directory.path().join("copy"), u64::MAX).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_several_concurrent_creations_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    for number in 1..=10 {
        let attempts = (0..8_i64).map(|writer| {
            let train = open(&process, Role::Train);
            tokio::spawn(async move { train.create_run(&result(number, writer)).await.unwrap() == Creation::Created })
        });
        let attempts: Vec<_> = attempts.collect();
        let mut winners = Vec::new();
        for (writer, outcome) in attempts.into_iter().enumerate() {
            if outcome.await.unwrap() {
                winners.push(i64::try_from(writer).unwrap());
            }
        }
        assert_eq!(winners.len(), 1, "run {number}");
        let stored = open(&process, Role::Operator).get_run(&result(number, 0).run).await.unwrap();
        assert_eq!(vec![stored.finished_at], winners, "run {number}");
    }
}
