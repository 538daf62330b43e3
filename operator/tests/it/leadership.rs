//! The life of the process: what ends a term as the leader, and how soon. The time of tokio is
//! paused, so that waits end immediately.

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use recommender_operator::{
    leader::Candidate,
    leadership::{self, RELEASE_DEADLINE, STOP_DEADLINE},
};
use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    fake_api::FakeApi,
    leader::{HOUR, LEASE, candidate, expire, holder},
};

/// Deadline of the kubelet between SIGTERM and SIGKILL.
const KUBELET_DEADLINE: Duration = Duration::from_secs(30);

/// A candidate that holds the lease.
async fn elected(api: &FakeApi) -> Candidate {
    let candidate = candidate(api, "a");
    timeout(HOUR, candidate.acquire()).await.unwrap();
    candidate
}

/// A controller that ends when it is asked to.
async fn obedient(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_ends_or_panics_ends_the_process() {
    let api = FakeApi::default();
    let ended = leadership::run(Some(elected(&api).await), pending(), |_| ready(())).await.unwrap_err();
    assert!(ended.to_string().contains("the controller ended"), "{ended}");
    assert_eq!(holder(&api), "", "another candidate need not wait");
    let panicked = leadership::run(Some(elected(&api).await), pending(), |_| async { panic!("a bug") }).await;
    assert!(panicked.unwrap_err().to_string().contains("the controller panicked"));
    assert_eq!(holder(&api), "");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_ends_the_process_and_aborts_the_passes() {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let api = FakeApi::default();
    let a = elected(&api).await;
    expire(&api);
    timeout(HOUR, candidate(&api, "b").acquire()).await.unwrap();
    let aborted = Arc::new(AtomicBool::new(false));
    let passes = SetOnDrop(Arc::clone(&aborted));
    let lost = timeout(
        HOUR,
        leadership::run(Some(a), pending(), |_| async move {
            let _passes = passes;
            pending::<()>().await;
        }),
    );
    assert!(lost.await.unwrap().unwrap_err().to_string().contains("the lease was lost"));
    assert!(aborted.load(Ordering::SeqCst));
    assert_eq!(holder(&api), "b", "the lease of another is not released");
}

#[tokio::test(start_paused = true)]
async fn sigterm_releases_the_lease_for_the_next_candidate() {
    let api = FakeApi::default();
    leadership::run(Some(elected(&api).await), sleep(Duration::from_mins(1)), obedient).await.unwrap();
    assert_eq!(holder(&api), "");
    let begin = Instant::now();
    timeout(HOUR, candidate(&api, "b").acquire()).await.unwrap();
    assert_eq!((holder(&api).as_str(), begin.elapsed()), ("b", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn sigterm_ends_the_process_in_time_even_if_nothing_else_responds() {
    let api = FakeApi::default();
    let a = elected(&api).await;
    api.hang(Method::GET, "/leases/recmesh-operator");
    let begin = Instant::now();
    leadership::run(Some(a), ready(()), |_| pending()).await.unwrap();
    assert_eq!(begin.elapsed(), STOP_DEADLINE + RELEASE_DEADLINE);
    assert!(begin.elapsed() <= KUBELET_DEADLINE / 3);
}

#[tokio::test(start_paused = true)]
async fn without_election_nothing_is_renewed_or_released() {
    let api = FakeApi::default();
    leadership::run(None, sleep(HOUR), obedient).await.unwrap();
    assert_eq!((api.get(LEASE), api.take_reads(), api.take_writes()), (Value::Null, vec![], vec![]));
}
