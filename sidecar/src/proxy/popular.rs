//! The Recommender's popular items, which are asked for while serving pods answer and kept for the
//! time when none does.

use std::sync::Arc;

use answering::{Item, RequestId, Source};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mesh::{Call, Upstream};
use serde_json::json;
use tokio::time::Instant;

use super::kept_answers;
use crate::limits::{POPULAR_INTERVAL, POPULAR_ITEMS, POPULAR_RETRY, POPULAR_TIMEOUT};

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
pub async fn learn(popular: Arc<Popular>, upstream: Arc<Upstream>) {
    loop {
        if let Some(items) = ask(&upstream).await {
            popular.0.store(Some(Arc::new(items)));
        }
        tokio::time::sleep(if popular.items().is_some() { POPULAR_INTERVAL } else { POPULAR_RETRY }).await;
    }
}

/// The popular items: those that a user without any interactions gets.
async fn ask(upstream: &Upstream) -> Option<Vec<Item<'static>>> {
    // An id that no data contains.
    let user = format!("recmesh-popular-items-{}", RequestId::new());
    // A Recommender may allow fewer items in an answer; the default number is always allowed.
    for question in [json!({"user": user, "n": POPULAR_ITEMS}), json!({"user": user})] {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from(question.to_string());
        // Not worth a part of the retry budget.
        let call = Call { method: Method::POST, path: "/recommend".to_owned(), headers, body, may_retry: false };
        let response = upstream.send(&call, Instant::now() + POPULAR_TIMEOUT).await.ok()?;
        if response.status() == StatusCode::OK {
            let answer = kept_answers::parse(response.body())?;
            return Some(answer.items.into_iter().map(|item| Item { source: Source::Popular, ..item }).collect());
        }
    }
    None
}
