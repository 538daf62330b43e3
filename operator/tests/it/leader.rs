//! Leader election: two candidates for one Lease. The time of tokio is paused, so that waits end
//! immediately.

use std::time::Duration;

use http::Method;
use recommender_operator::leader::Candidate;
use serde_json::json;
use tokio::time::timeout;

use crate::fake_api::FakeApi;

pub const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/recmesh-system/leases/recmesh-operator";
pub const HOUR: Duration = Duration::from_hours(1);

pub fn candidate(api: &FakeApi, identity: &str) -> Candidate {
    Candidate::new(api.client(), "recmesh-system", identity)
}

pub fn holder(api: &FakeApi) -> String {
    api.get(LEASE)["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// Makes the last renewal an hour old, as if the holder had stopped.
pub fn expire(api: &FakeApi) {
    let mut lease = api.get(LEASE);
    lease["spec"]["renewTime"] = json!("2026-01-01T00:00:00.000000Z");
    api.put(LEASE, lease);
}

#[tokio::test(start_paused = true)]
async fn of_two_candidates_one_leads_and_the_other_takes_over_an_expired_lease() {
    let api = FakeApi::default();
    let (a, b) = (candidate(&api, "a"), candidate(&api, "b"));
    timeout(HOUR, a.acquire()).await.unwrap();
    assert_eq!(holder(&api), "a");
    assert!(timeout(Duration::from_mins(1), b.acquire()).await.is_err(), "b stands by");
    assert!(timeout(Duration::from_mins(1), a.renew_until_lost()).await.is_err(), "a stays the leader");
    expire(&api);
    timeout(HOUR, b.acquire()).await.unwrap();
    assert_eq!((holder(&api).as_str(), &api.get(LEASE)["spec"]["leaseTransitions"]), ("b", &json!(1)));
    timeout(HOUR, a.renew_until_lost()).await.expect("a must notice that it is not the leader any more");
    assert_eq!(holder(&api), "b", "a does not take the lease back");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_restarts_renews_its_own_lease() {
    let api = FakeApi::default();
    timeout(HOUR, candidate(&api, "a").acquire()).await.unwrap();
    let acquired = api.get(LEASE)["spec"]["acquireTime"].clone();
    timeout(HOUR, candidate(&api, "a").acquire()).await.unwrap();
    let spec = api.get(LEASE)["spec"].clone();
    assert_eq!((&spec["leaseTransitions"], &spec["acquireTime"]), (&json!(0), &acquired));
}

#[tokio::test(start_paused = true)]
async fn of_two_concurrent_writes_the_later_one_fails() {
    for method in [Method::POST, Method::PUT] {
        let api = FakeApi::default();
        if method == Method::PUT {
            timeout(HOUR, candidate(&api, "a").acquire()).await.unwrap();
            expire(&api);
        }
        let before = api.get(LEASE);
        api.fail(method.clone(), "/leases/recmesh-operator", 409);
        assert!(timeout(Duration::from_mins(1), candidate(&api, "b").acquire()).await.is_err(), "{method}");
        assert_eq!(api.get(LEASE), before, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_gives_up_before_another_may_lead() {
    let api = FakeApi::default();
    let a = candidate(&api, "a");
    timeout(HOUR, a.acquire()).await.unwrap();
    api.fail(Method::PUT, "/leases/recmesh-operator", 503);
    let begin = tokio::time::Instant::now();
    timeout(HOUR, a.renew_until_lost()).await.expect("the lease is lost");
    assert!(begin.elapsed() <= Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_requests_get_no_answer_gives_up_before_another_may_lead() {
    for method in [Method::GET, Method::PUT] {
        let api = FakeApi::default();
        let a = candidate(&api, "a");
        timeout(HOUR, a.acquire()).await.unwrap();
        api.hang(method.clone(), "/leases/recmesh-operator");
        let begin = tokio::time::Instant::now();
        timeout(HOUR, a.renew_until_lost()).await.expect("the lease is lost");
        assert!(begin.elapsed() <= Duration::from_secs(10), "{method}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_without_an_answer_does_not_cost_the_lease() {
    let api = FakeApi::default();
    let a = candidate(&api, "a");
    timeout(HOUR, a.acquire()).await.unwrap();
    api.hang(Method::PUT, "/leases/recmesh-operator");
    assert!(timeout(Duration::from_secs(5), a.renew_until_lost()).await.is_err());
    api.recover();
    assert!(timeout(Duration::from_mins(1), a.renew_until_lost()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_releases_the_lease() {
    let api = FakeApi::default();
    let (a, b) = (candidate(&api, "a"), candidate(&api, "b"));
    b.release().await.unwrap();
    timeout(HOUR, a.acquire()).await.unwrap();
    b.release().await.unwrap();
    assert_eq!(holder(&api), "a");
    a.release().await.unwrap();
    assert_eq!(holder(&api), "");
    a.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_cost_the_lease() {
    let api = FakeApi::default();
    let a = candidate(&api, "a");
    timeout(HOUR, a.acquire()).await.unwrap();
    api.fail(Method::GET, "/leases/recmesh-operator", 503);
    assert!(timeout(Duration::from_secs(8), a.renew_until_lost()).await.is_err());
    api.recover();
    assert!(timeout(Duration::from_mins(1), a.renew_until_lost()).await.is_err());
    assert_eq!(holder(&api), "a");
}
