//! Answers as JSON documents.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use model_snapshot::Metadata;
use serde_json::{Value, json};
use sidecar_contract::LoadedModel;

use crate::{answer::Item, model::ServingModel};

/// The variant of a Recommender that serves one revision to everybody.
const ONLY_VARIANT: &str = "default";

/// Which door asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `{"recommendations": [ids]}`.
    Form,
    /// `{"requestId", "model", "items": [{"id", "title", "score", "source"}]}`.
    Json,
}

/// A list of items.
pub fn recommendations(model: &ServingModel, items: &[Item], style: Style) -> Value {
    let snapshot = &model.snapshot;
    match style {
        Style::Form => {
            let ids: Vec<&str> = items.iter().filter_map(|item| snapshot.item_id(item.row)).collect();
            json!({ "recommendations": ids })
        }
        Style::Json => {
            let items: Vec<Value> = items.iter().filter_map(|item| render_item(model, item)).collect();
            json!({
                "requestId": request_id(),
                "model": {"revision": model.digest.revision(), "variant": ONLY_VARIANT},
                "items": items,
            })
        }
    }
}

/// The loaded model.
pub fn model(loaded: &LoadedModel, metadata: &Metadata) -> Value {
    json!({
        "revision": loaded.digest.revision(),
        "digest": loaded.digest,
        "algorithm": metadata.algorithm,
        "users": loaded.users,
        "items": loaded.items,
        "interactions": metadata.interactions,
        "factors": loaded.factors,
        "answers": loaded.answers,
        "loadedAt": loaded.loaded_at,
    })
}

fn render_item(model: &ServingModel, item: &Item) -> Option<Value> {
    let mut value = json!({"id": model.snapshot.item_id(item.row)?, "score": item.score, "source": item.source});
    if let (Some(title), Value::Object(object)) = (model.snapshot.title(item.row), &mut value)
        && !title.is_empty()
    {
        object.insert("title".to_owned(), Value::from(title));
    }
    Some(value)
}

/// Sixteen hex digits, different in every answer and unguessable across restarts: later feedback names them.
fn request_id() -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}", KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)))
}
