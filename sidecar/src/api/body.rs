//! Bodies and answers within one budget of bytes for all connections: slow senders and slow readers
//! together cannot exhaust the memory.

use std::{pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    api::error::ApiError,
    engine::Refusal,
    limits::{ANSWER_BYTES_MAX, BODY_BYTES_MAX, BODY_TIMEOUT, TRANSFER_BYTES_MAX},
};

/// Bytes that all bodies and answers may occupy together.
#[derive(Debug)]
pub struct Budget(Arc<Semaphore>);

/// A body, with its part of the budget.
#[derive(Debug)]
pub struct Received {
    /// The whole body.
    pub bytes: BytesMut,
    permit: Option<OwnedSemaphorePermit>,
}

/// An answer that keeps its part of the budget until its last byte is sent.
struct BudgetedBytes {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRANSFER_BYTES_MAX)))
    }
}

impl Budget {
    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::Overloaded)?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| Refusal::Overloaded)
    }

    /// Takes an answer into the budget.
    ///
    /// # Errors
    /// An answer that is too long, or an exhausted budget.
    pub fn send(&self, bytes: Vec<u8>) -> Result<Bytes, ApiError> {
        if bytes.len() > ANSWER_BYTES_MAX {
            let detail = format!(
                "the answer has {} bytes; at most {ANSWER_BYTES_MAX} are sent: request fewer items, or send several requests",
                bytes.len()
            );
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "answer-too-large", detail));
        }
        let permit = self.reserve(bytes.len())?;
        Ok(Bytes::from_owner(BudgetedBytes { bytes, _permit: permit }))
    }

    /// Reads a body: at most [`BODY_BYTES_MAX`], for at most [`BODY_TIMEOUT`].
    ///
    /// # Errors
    /// A body that is too long, too slow or incomplete, or an exhausted budget.
    pub async fn receive<B>(&self, body: B) -> Result<Received, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        tokio::time::timeout(BODY_TIMEOUT, self.collect(body)).await.unwrap_or_else(|_| {
            let detail = format!("request body read timed out after {} s", BODY_TIMEOUT.as_secs());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail))
        })
    }

    async fn collect<B>(&self, body: B) -> Result<Received, ApiError>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = pin!(body);
        let mut received = Received { bytes: BytesMut::new(), permit: None };
        while let Some(frame) = body.frame().await {
            let cut_off =
                |_| ApiError::new(StatusCode::BAD_REQUEST, "body-incomplete", "body: ended before its length");
            // A frame without data is a trailer, which is ignored.
            let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
            if received.bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            let permit = self.reserve(data.len())?;
            match &mut received.permit {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            }
            received.bytes.extend_from_slice(&data);
        }
        Ok(received)
    }
}

fn too_large() -> ApiError {
    let detail = format!("body: more than {BODY_BYTES_MAX} bytes; send fewer items, or several requests");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn bodies_and_answers_share_one_budget_and_release_it() {
        let budget = Budget::default();
        let body = || Full::new(Bytes::from(vec![b' '; BODY_BYTES_MAX]));
        let mut held = Vec::new();
        for _ in 0..TRANSFER_BYTES_MAX / BODY_BYTES_MAX {
            held.push(budget.receive(body()).await.unwrap());
        }
        assert_eq!(budget.receive(body()).await.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(budget.send(vec![0; 10]).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        held.pop();
        let answer = budget.send(vec![0; BODY_BYTES_MAX]).unwrap();
        let part = answer.slice(10..20);
        drop(answer);
        assert!(budget.receive(body()).await.is_err()); // A part of it is still being sent.
        drop(part);
        budget.receive(body()).await.unwrap();
        assert_eq!(budget.send(vec![0; ANSWER_BYTES_MAX + 1]).unwrap_err().kind, "answer-too-large");
    }
}
