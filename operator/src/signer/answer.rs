//! Watches the requests for the signer, and answers them. The leader answers at once. The other
//! replicas wait, and answer what the leader has not: one of them suffices for pods to start.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{
        Controller, WatchStreamExt as _,
        controller::{Action, Config},
        reflector::{self, Store},
        watcher::{self, watcher},
    },
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Signer;
use crate::{
    api_client::paged_watch,
    error::{Error, chain},
    identity::{
        PodCertificateRequest,
        authority::Authority,
        decide::{Decision, decide, is_watched},
        leaf::{Validity, sign},
        live_pod::LivePod,
        pod_certificate_request::{DENIED, ISSUED},
        public_key::ProvenKey,
    },
    names::MANAGER,
    watch_pauses::with_pauses,
};

/// How long a replica that is not the leader leaves a request to the leader.
const STANDBY_DELAY: Duration = Duration::from_secs(2);
/// Pause after a failure, and while identity is off.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Longest pause before a pending request is decided again.
const PENDING_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Requests that are answered concurrently; each takes two requests to the API server.
const CONCURRENCY: u16 = 16;
/// Interval at which the metrics of pending requests are computed.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Answers requests until the process ends.
pub async fn run(signer: Arc<Signer>) {
    let api: Api<PodCertificateRequest> = Api::all(signer.client.clone());
    let (reader, writer) = reflector::store();
    let config = paged_watch().fields(&format!("spec.signerName={}", signer.settings.name));
    let requests = with_pauses(watcher(api, config))
        .modify(|request| {
            // What nothing reads is not kept.
            request.status.certificate_chain.clear();
        })
        .reflect(writer)
        .applied_objects()
        .filter_map(|request| std::future::ready(request.inspect_err(log).ok().map(Ok)));
    let answering = Controller::for_stream(requests, reader.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .run(answer, error_policy, Arc::clone(&signer))
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(error = chain(&error), "the controller of requests reported an error");
            }
            std::future::ready(())
        });
    tokio::join!(answering, measure(&signer, &reader));
}

fn log(error: &watcher::Error) {
    tracing::warn!(error = chain(error), "the watch of PodCertificateRequests failed");
}

/// Keeps the metrics of pending requests.
async fn measure(signer: &Signer, requests: &Store<PodCertificateRequest>) {
    loop {
        let oldest = {
            let mut pending = signer.pending();
            let requests = requests.state();
            let unanswered = requests.iter().filter(|request| !request.is_answered());
            let unanswered: HashSet<String> = unanswered.filter_map(|request| request.uid()).collect();
            pending.retain(|uid, _| unanswered.contains(uid));
            (pending.len(), pending.values().map(Instant::elapsed).max().unwrap_or_default())
        };
        signer.metrics.set_identity_pending(oldest.0, oldest.1);
        tokio::time::sleep(METRICS_INTERVAL).await;
    }
}

async fn answer(request: Arc<PodCertificateRequest>, signer: Arc<Signer>) -> Result<Action, Error> {
    let namespace = request.namespace().ok_or(Error::Incomplete("namespace"))?;
    let uid = request.uid().ok_or(Error::Incomplete("uid"))?;
    if request.is_answered() || !is_watched(&namespace, &signer.settings.watched) {
        signer.pending().remove(&uid);
        return Ok(Action::await_change());
    }
    let age = signer.pending().entry(uid).or_insert_with(Instant::now).elapsed();
    if !signer.leads() && age < STANDBY_DELAY {
        return Ok(Action::requeue(STANDBY_DELAY.saturating_sub(age)));
    }
    let Some(authority) = signer.authority() else { return Ok(Action::requeue(RETRY_INTERVAL)) };
    let pods: Api<LivePod> = Api::namespaced(signer.client.clone(), &namespace);
    let pod = pods.get_opt(&request.spec.pod_name).await;
    let pod = pod.map_err(Error::api(format!("cannot read pod {namespace}/{}", request.spec.pod_name)))?;
    match decide(&request, pod.as_ref()) {
        Decision::Sign(key) => match issued(&request, &authority, &key) {
            Ok(Some(status)) => write(&signer, &request, "signed", status).await,
            Ok(None) => Ok(wait(&signer, &request, "root_expires", age)),
            Err(error) => {
                tracing::error!(error = chain(&error), "cannot sign a certificate");
                Ok(wait(&signer, &request, "signature", age))
            }
        },
        Decision::Deny(denial) => {
            let condition = condition(DENIED, denial.reason(), &denial.message());
            write(&signer, &request, denial.as_str(), json!({"conditions": [condition]})).await
        }
        Decision::Wait(waiting) => Ok(wait(&signer, &request, waiting.as_str(), age)),
    }
}

/// The status with a certificate; `None` if the root or the CA that signs expires too soon.
fn issued(
    request: &PodCertificateRequest,
    authority: &Authority,
    key: &ProvenKey,
) -> Result<Option<Value>, rcgen::Error> {
    let now = Timestamp::now().as_second();
    let Some(validity) = Validity::new(now, request.spec.max_expiration_seconds, &authority.root) else {
        return Ok(None);
    };
    let namespace = request.metadata.namespace.as_deref().unwrap_or_default();
    let id = authority.trust_domain.account_id(namespace, &request.spec.service_account_name);
    let chain = sign(&authority.root, &id, key, validity)? + &authority.intermediates();
    let date = |second: i64| Timestamp::from_second(second).map(|date| date.to_string()).unwrap_or_default();
    Ok(Some(json!({
        "conditions": [condition(ISSUED, "Signed", &format!("signed for {id}"))],
        "certificateChain": chain,
        "notBefore": date(validity.not_before),
        "beginRefreshAt": date(validity.begin_refresh_at),
        "notAfter": date(validity.not_after),
    })))
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    let now = Timestamp::now().as_second();
    let now = Timestamp::from_second(now).map(|date| date.to_string()).unwrap_or_default();
    json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now})
}

/// Writes an answer to the version of the request that was read.
async fn write(
    signer: &Signer,
    request: &PodCertificateRequest,
    answer: &'static str,
    status: Value,
) -> Result<Action, Error> {
    let (namespace, name) = (request.namespace().unwrap_or_default(), request.name_any());
    let patch = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": request.metadata.resource_version},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let action = || format!("cannot answer PodCertificateRequest {namespace}/{name}");
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(patch).map_err(kube::Error::SerdeError).map_err(Error::api(action()))?);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let api: Api<PodCertificateRequest> = Api::namespaced(signer.client.clone(), &namespace);
    match api.patch_status(&name, &params, &patch).await {
        Ok(_) => {
            signer.metrics.count_identity_answer(answer);
            let spec = &request.spec;
            tracing::info!(
                namespace,
                pod = spec.pod_name,
                account = spec.service_account_name,
                answer,
                "answered a request"
            );
            Ok(Action::await_change())
        }
        // The pod is gone, or another replica has answered: the watch brings what it wrote.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Action::await_change()),
        Err(kube::Error::Api(status)) if status.code == 409 || is_stale(&status.message) => {
            Ok(Action::requeue(RETRY_INTERVAL))
        }
        Err(error) => Err(Error::api(action())(error)),
    }
}

/// Whether the request had another version than the patch, or an answer.
fn is_stale(message: &str) -> bool {
    message.contains("/metadata/resourceVersion") || message.contains("immutable")
}

/// Leaves a request pending.
fn wait(signer: &Signer, request: &PodCertificateRequest, reason: &'static str, age: Duration) -> Action {
    signer.metrics.count_identity_answer(reason);
    tracing::warn!(
        namespace = request.namespace().unwrap_or_default(),
        pod = request.spec.pod_name,
        reason,
        "a certificate is not signed; the request stays pending"
    );
    Action::requeue(age.clamp(STANDBY_DELAY, PENDING_INTERVAL_MAX))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of the controller")]
fn error_policy(request: Arc<PodCertificateRequest>, error: &Error, _signer: Arc<Signer>) -> Action {
    tracing::warn!(request = request.name_any(), error = chain(error), "cannot answer a request; it is tried again");
    Action::requeue(RETRY_INTERVAL)
}
