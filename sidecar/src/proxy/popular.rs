//! The Recommender's popular items, which are asked for while serving pods or the own copy of the
//! model answer, and kept for the time when none does.

use std::sync::Arc;

use answering::{Item, RequestId, Source};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use mesh::{Call, Upstream};
use serde_json::json;
use tokio::time::Instant;

use super::{kept_answers, local::LocalModel};
use crate::{
    api::route::Route,
    limits::{POPULAR_INTERVAL, POPULAR_ITEMS, POPULAR_RETRY, POPULAR_TIMEOUT},
};

/// Path of the questions.
const PATH: &str = "/recommend";

/// Popular items, once they are known.
#[derive(Debug, Default)]
pub struct Popular(ArcSwapOption<Vec<Item<'static>>>);

impl Popular {
    /// The items, the most popular first.
    pub fn items(&self) -> Option<Arc<Vec<Item<'static>>>> {
        self.0.load_full()
    }
}

/// Asks for popular items until the task is aborted.
pub async fn learn(popular: Arc<Popular>, upstream: Arc<Upstream>, local: Option<Arc<LocalModel>>) {
    loop {
        if let Some(items) = ask(&upstream, local.as_deref()).await {
            popular.0.store(Some(Arc::new(items)));
        }
        tokio::time::sleep(if popular.items().is_some() { POPULAR_INTERVAL } else { POPULAR_RETRY }).await;
    }
}

/// The popular items: those that a user without any interactions gets.
async fn ask(upstream: &Upstream, local: Option<&LocalModel>) -> Option<Vec<Item<'static>>> {
    // An id that no data contains.
    let user = format!("recmesh-popular-items-{}", RequestId::new());
    // A Recommender may allow fewer items in an answer; the default number is always allowed.
    for question in [json!({"user": user, "n": POPULAR_ITEMS}), json!({"user": user})] {
        let response = send(upstream, local, Bytes::from(question.to_string())).await?;
        if response.status() == StatusCode::OK {
            let answer = kept_answers::parse(response.body())?;
            return Some(answer.items.into_iter().map(|item| Item { source: Source::Popular, ..item }).collect());
        }
    }
    None
}

/// The response of a serving pod, or else of the own copy of the model. The pods come first also in
/// local mode: the question keeps a connection to them ready, for when the copy cannot answer.
async fn send(upstream: &Upstream, local: Option<&LocalModel>, body: Bytes) -> Option<Response<Bytes>> {
    let deadline = Instant::now() + POPULAR_TIMEOUT;
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json.clone())]);
    // Not worth a part of the retry budget.
    let call = Call { method: Method::POST, path: PATH.to_owned(), headers, body: body.clone(), may_retry: false };
    if let Ok(response) = upstream.send(&call, deadline).await {
        return Some(response);
    }
    let request = Request::post(PATH).header(header::CONTENT_TYPE, json).body(()).ok()?;
    let (head, deadline) = (request.into_parts().0, Instant::now() + POPULAR_TIMEOUT);
    let response = local?.answer(Route::find(PATH), &head, body, &RequestId::new(), deadline).await?;
    let (head, body) = response.into_parts();
    Some(Response::from_parts(head, body.collect().await.ok()?.to_bytes()))
}
