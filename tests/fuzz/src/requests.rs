//! Requests to the application port: the form, the JSON bodies, and the header with the request id.

use answering::{Ask, Query, RequestId, limits::EXPLAINED_ITEMS_MAX};
use http::{HeaderMap, HeaderValue};
use recommender_sidecar::{
    api::{
        error::ApiError,
        form, json,
        request::{BatchRequest, RecommendRequest, SimilarRequest},
        request_id::{self, REQUEST_ID_HEADER},
    },
    limits::{ID_CHARS_MAX, ITEMS_PER_BATCH_MAX},
};
use sidecar_contract::ServingLimits;

/// Lower than the defaults, so that short inputs reach them.
const LIMITS: ServingLimits = ServingLimits {
    items_per_answer_max: 1000,
    history_per_request_max: 20,
    requests_per_batch_max: 5,
    latency_budget_milliseconds: 100,
};
/// Maximum length of an error's detail, in bytes. Inputs are longer: no error repeats one.
const DETAIL_BYTES_MAX: usize = 2048;

/// A form. Returns whether it is valid.
pub fn form(input: &[u8]) -> bool {
    let asked = form::parse(input, id(), &LIMITS);
    check(asked.map(|ask| vec![ask]))
}

/// A JSON body of each endpoint. Returns whether one accepts it.
pub fn json(input: &[u8]) -> bool {
    let recommend = json::parse::<RecommendRequest<'_>>(input).and_then(|request| request.into_ask(id(), "", &LIMITS));
    let similar = json::parse::<SimilarRequest<'_>>(input).and_then(|request| request.into_ask(id(), &LIMITS));
    let batch = json::parse::<BatchRequest<'_>>(input).and_then(|request| request.into_asks(&id(), &LIMITS));
    if let Ok(asks) = &batch {
        assert!((1..=LIMITS.requests_per_batch_max as usize).contains(&asks.len()), "{} requests", asks.len());
        assert!(asks.iter().map(|ask| ask.n).sum::<usize>() <= ITEMS_PER_BATCH_MAX, "too many items in total");
    }
    let accepted = [recommend.map(|ask| vec![ask]), similar.map(|ask| vec![ask]), batch].map(check);
    accepted.contains(&true)
}

/// The value of the header with the request id. Returns whether it is propagated.
pub fn request_id(input: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(input) else { return false };
    let given = std::str::from_utf8(input).ok().and_then(RequestId::parse);
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID_HEADER, value);
    let id = request_id::request_id(&headers);
    assert!(given.as_ref().is_none_or(|given| *given == id), "a valid id was replaced by {id}");
    assert_eq!(RequestId::parse(id.as_str()).as_ref(), Some(&id));
    assert_eq!(request_id::header_value(&id).as_ref().map(HeaderValue::as_bytes), Some(id.as_str().as_bytes()));
    given.is_some()
}

fn check(asked: Result<Vec<Ask>, ApiError>) -> bool {
    match asked {
        Ok(asks) => {
            asks.iter().for_each(check_ask);
            true
        }
        Err(error) => {
            check_error(error);
            false
        }
    }
}

fn id() -> RequestId {
    RequestId::parse("fuzz").expect("letters are valid")
}

/// The bounds that the rest of the process relies on.
fn check_ask(ask: &Ask) {
    assert!((1..=LIMITS.items_per_answer_max as usize).contains(&ask.n), "n is {}", ask.n);
    assert!(!ask.explain || ask.n <= EXPLAINED_ITEMS_MAX, "{} items with explanations", ask.n);
    let max = LIMITS.history_per_request_max as usize;
    let mut ids: Vec<&String> = ask.filter.exclude.iter().collect();
    assert!(ids.len() <= max, "{} excluded items", ids.len());
    match &ask.query {
        Query::Recommend { user, history } => {
            assert!(user.is_some() || !history.is_empty(), "neither user nor history");
            assert!(history.len() <= max, "a history of {} items", history.len());
            assert!(history.iter().all(|entry| entry.rating.is_none_or(f32::is_finite)), "a rating is not finite");
            ids.extend(user.iter().chain(history.iter().map(|entry| &entry.item)));
        }
        Query::Similar { item } => ids.push(item),
    }
    for id in ids {
        let chars = id.chars().count();
        assert!((1..=ID_CHARS_MAX).contains(&chars), "an id of {chars} characters");
    }
}

fn check_error(error: ApiError) {
    assert!(error.status.is_client_error(), "{error:?}");
    assert!(error.detail.len() <= DETAIL_BYTES_MAX, "a detail of {} bytes", error.detail.len());
    error.into_response(&id());
}
