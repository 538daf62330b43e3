//! Reads an answer within the limit of one and of all together: pods that send much at the same
//! time cannot exhaust the memory of the app's sidecar.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{ANSWER_BYTES_MAX, ANSWER_SHARE_BYTES, ANSWERS_BYTES_MAX};

/// Bytes that all answers may occupy together, beyond the share of each.
#[derive(Debug)]
pub struct AnswerBytes(Arc<Semaphore>);

impl Default for AnswerBytes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS_BYTES_MAX)))
    }
}

/// Why an answer was not read.
#[derive(Debug)]
pub enum BodyError {
    /// It exceeds a limit.
    TooLarge,
    /// The connection ended.
    Lost,
}

/// An answer that returns its bytes when its last part is dropped.
struct Counted {
    bytes: Vec<u8>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerBytes {
    /// Reads an answer. Its bytes are copied, because the originals share the read buffer of their
    /// connection.
    pub async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<Bytes, BodyError> {
        let mut body = pin!(body);
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(ANSWER_SHARE_BYTES);
        let mut bytes = Vec::with_capacity(expected);
        let mut permit: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            // A frame without data is a trailer, which is ignored.
            let Ok(data) = frame.map_err(|_| BodyError::Lost)?.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > ANSWER_BYTES_MAX {
                return Err(BodyError::TooLarge);
            }
            let held = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = length.saturating_sub(ANSWER_SHARE_BYTES).saturating_sub(held);
            if missing > 0 {
                let missing = u32::try_from(missing).map_err(|_| BodyError::TooLarge)?;
                let more = Arc::clone(&self.0).try_acquire_many_owned(missing).map_err(|_| BodyError::TooLarge)?;
                match &mut permit {
                    Some(permit) => permit.merge(more),
                    none => *none = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Bytes::from_owner(Counted { bytes, _permit: permit }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn read(all: &AnswerBytes, length: usize) -> Result<Bytes, BodyError> {
        all.read(Full::new(Bytes::from(vec![b' '; length]))).await
    }

    #[tokio::test]
    async fn answers_share_one_budget_and_release_it() {
        let all = AnswerBytes::default();
        assert!(matches!(read(&all, ANSWER_BYTES_MAX + 1).await, Err(BodyError::TooLarge)));
        let (first, second) =
            (read(&all, ANSWER_BYTES_MAX).await.unwrap(), read(&all, ANSWER_BYTES_MAX).await.unwrap());
        // Two shares are left of the budget.
        assert!(read(&all, 3 * ANSWER_SHARE_BYTES).await.is_ok());
        assert!(matches!(read(&all, 3 * ANSWER_SHARE_BYTES + 1).await, Err(BodyError::TooLarge)));
        assert_eq!(read(&all, ANSWER_SHARE_BYTES).await.unwrap().len(), ANSWER_SHARE_BYTES, "its own share");
        let part = first.slice(1..2);
        drop(first);
        assert!(read(&all, ANSWER_BYTES_MAX).await.is_err(), "a part of the first is still held");
        drop((part, second));
        assert!(read(&all, ANSWER_BYTES_MAX).await.is_ok());
    }
}
