//! Bodies, questions and answers within one budget of bytes for all connections: slow senders, slow
//! readers and waiting questions together cannot exhaust the memory. Requests have shares of their
//! own, so that small requests succeed while large ones exhaust the budget.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use answering::RequestId;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Duration, Instant},
};

use crate::{
    api::error::ApiError,
    engine::Refusal,
    limits::{
        ANSWER_BYTES_MAX, BODY_BYTES_MAX, BODY_BYTES_PER_SECOND_MIN, BODY_TIMEOUT, LARGE_BODY_BYTES,
        REQUEST_SHARE_BYTES, REQUEST_SHARES_MAX, TRANSFER_BYTES_MAX,
    },
};

/// Bytes that all bodies, questions and answers may occupy together: a share for each of
/// [`REQUEST_SHARES_MAX`] requests, and [`TRANSFER_BYTES_MAX`].
#[derive(Debug)]
pub struct Budget {
    shares: Arc<Shares>,
    bytes: Arc<Semaphore>,
    /// Held while a large body is parsed.
    large_body: Semaphore,
}

/// Bytes that one request occupies; dropping it returns them. From the body to the answer a request
/// has one, and so one share.
#[derive(Debug, Default)]
pub struct Allowance {
    used: usize,
    /// [`REQUEST_SHARE_BYTES`] that do not count against the budget. Without one, all bytes count.
    share: Option<Share>,
    /// What is beyond the share.
    permit: Option<OwnedSemaphorePermit>,
}

impl Allowance {
    /// Bytes of the budget that it holds.
    fn held(&self) -> usize {
        let share = if self.share.is_some() { REQUEST_SHARE_BYTES } else { 0 };
        self.permit.as_ref().map_or(share, |permit| share + permit.num_permits())
    }
}

/// Number of shares that are taken. It is counted without a lock, because every request takes one.
#[derive(Debug, Default)]
struct Shares(AtomicUsize);

/// A share; dropping it returns it.
#[derive(Debug)]
struct Share(Arc<Shares>);

impl Share {
    /// `None` if all are taken.
    fn take(shares: &Arc<Shares>) -> Option<Self> {
        let share = Self(Arc::clone(shares));
        (shares.0.fetch_add(1, Ordering::Relaxed) < REQUEST_SHARES_MAX).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory of a piece of a body in addition to its bytes: its place in the list, and what the
/// allocator adds.
const PIECE_OVERHEAD_BYTES: usize = 48;

/// A body, with its part of the budget.
///
/// It consists of pieces. One growing buffer would take up to twice the length of the body, and
/// large buffers of many lengths fragment the memory.
#[derive(Debug)]
pub struct Received {
    pieces: Pieces,
    length: usize,
    allowance: Allowance,
}

/// The bytes of a body.
#[derive(Debug)]
enum Pieces {
    /// A body that arrived at once. It shares the read buffer of its connection, which waits for
    /// nothing else meanwhile.
    Whole(Bytes),
    /// Copies of what arrived, which share no buffer.
    Copied(Vec<Box<[u8]>>),
}

impl Received {
    /// Length of the body in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The whole body. A body of several pieces is copied.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.pieces {
            Pieces::Whole(piece) => Cow::Borrowed(piece),
            Pieces::Copied(pieces) => match pieces.as_slice() {
                [piece] => Cow::Borrowed(piece),
                pieces => Cow::Owned(pieces.concat()),
            },
        }
    }

    /// What the body occupied, for what follows it.
    pub fn into_allowance(self) -> Allowance {
        self.allowance
    }

    /// Adds a piece. It is copied, because the original shares the read buffer of its connection.
    ///
    /// # Errors
    /// An exhausted budget.
    pub fn push(&mut self, piece: &[u8], budget: &Budget) -> Result<(), Refusal> {
        budget.take(&mut self.allowance, piece.len() + PIECE_OVERHEAD_BYTES)?;
        match &mut self.pieces {
            Pieces::Whole(whole) => self.pieces = Pieces::Copied(vec![whole.as_ref().into(), piece.into()]),
            Pieces::Copied(pieces) => pieces.push(piece.into()),
        }
        self.length += piece.len();
        Ok(())
    }
}

/// An answer that keeps its part of the budget until its last byte is sent.
struct BudgetedBytes {
    bytes: Vec<u8>,
    _allowance: Allowance,
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Budget {
    fn default() -> Self {
        let bytes = Arc::new(Semaphore::new(TRANSFER_BYTES_MAX));
        Self { shares: Arc::default(), bytes, large_body: Semaphore::new(1) }
    }
}

impl Budget {
    /// The allowance of a request that occupies this number of bytes.
    ///
    /// # Errors
    /// An exhausted budget.
    pub fn allow(&self, bytes: usize) -> Result<Allowance, Refusal> {
        let mut allowance = Allowance::default();
        self.take(&mut allowance, bytes)?;
        Ok(allowance)
    }

    /// Changes an allowance to this number of bytes, because the next stage of the request takes
    /// the place of the one before.
    ///
    /// # Errors
    /// An exhausted budget.
    pub fn change(&self, allowance: &mut Allowance, bytes: usize) -> Result<(), Refusal> {
        let unused = allowance.held().saturating_sub(bytes);
        // A share is kept for the next stage.
        if let Some(permit) = &mut allowance.permit {
            drop(permit.split(unused.min(permit.num_permits())));
        }
        allowance.used = 0;
        self.take(allowance, bytes)
    }

    /// Takes more bytes into an allowance.
    ///
    /// # Errors
    /// An exhausted budget.
    fn take(&self, allowance: &mut Allowance, bytes: usize) -> Result<(), Refusal> {
        allowance.used = allowance.used.saturating_add(bytes);
        if allowance.held() == 0 && allowance.used > 0 {
            allowance.share = Share::take(&self.shares);
        }
        let missing = allowance.used.saturating_sub(allowance.held());
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Refusal::Overloaded)?;
        let more = Arc::clone(&self.bytes).try_acquire_many_owned(missing).map_err(|_| Refusal::Overloaded)?;
        match &mut allowance.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// A body without bytes.
    pub fn empty() -> Received {
        Received { pieces: Pieces::Copied(Vec::new()), length: 0, allowance: Allowance::default() }
    }

    /// Waits until a body of this length may be parsed. Parsing can take many times the memory of
    /// the body, so large bodies are parsed one at a time.
    pub async fn parsing(&self, body_bytes: usize) -> Option<SemaphorePermit<'_>> {
        if body_bytes <= LARGE_BODY_BYTES {
            return None;
        }
        // The semaphore is never closed.
        self.large_body.acquire().await.ok()
    }

    /// Takes an answer into the budget, in place of what its request occupied.
    ///
    /// # Errors
    /// An answer that is too long, or an exhausted budget.
    pub fn send(&self, bytes: Vec<u8>, mut allowance: Allowance) -> Result<Bytes, ApiError> {
        if bytes.len() > ANSWER_BYTES_MAX {
            let detail = format!(
                "the answer has {} bytes; at most {ANSWER_BYTES_MAX} are sent: request fewer items, or send several requests",
                bytes.len()
            );
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "answer-too-large", detail));
        }
        self.change(&mut allowance, bytes.len())?;
        Ok(Bytes::from_owner(BudgetedBytes { bytes, _allowance: allowance }))
    }

    /// The response for an error. If the budget has no memory for the document, it has none: the
    /// status and the headers remain.
    pub fn send_error(&self, error: ApiError, id: &RequestId) -> Response<Full<Bytes>> {
        let document = error.document(id);
        let body = self.allow(document.len()).ok().map(|allowance| {
            let bytes = BudgetedBytes { bytes: document, _allowance: allowance };
            Bytes::from_owner(bytes)
        });
        error.response(body)
    }

    /// Reads a body: at most [`BODY_BYTES_MAX`], within [`BODY_TIMEOUT`] and at a rate of at least
    /// [`BODY_BYTES_PER_SECOND_MIN`].
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
        self.collect(body).await
    }

    async fn collect<B>(&self, body: B) -> Result<Received, ApiError>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = pin!(body);
        let mut begin = None;
        let mut received = Self::empty();
        loop {
            // Most bodies arrive with their head: a timer would cost more than reading them.
            let frame = match poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let deadline = *begin.get_or_insert_with(Instant::now) + timeout(received.length);
                    tokio::time::timeout_at(deadline, body.frame()).await.map_err(|_| too_slow())?
                }
            };
            let Some(frame) = frame else { return Ok(received) };
            let cut_off =
                |_| ApiError::new(StatusCode::BAD_REQUEST, "body-incomplete", "body: ended before its length");
            // A frame without data is a trailer, which is ignored.
            let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
            if received.length + data.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            if received.length == 0 && body.is_end_stream() {
                self.take(&mut received.allowance, data.len())?;
                return Ok(Received { length: data.len(), pieces: Pieces::Whole(data), ..received });
            }
            received.push(&data, self)?;
        }
    }
}

/// Time for a body of which this number of bytes has arrived.
fn timeout(received: usize) -> Duration {
    let seconds = received / BODY_BYTES_PER_SECOND_MIN;
    BODY_TIMEOUT + Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
}

fn too_slow() -> ApiError {
    let detail = format!(
        "body: not received within {} s and one more for each {BODY_BYTES_PER_SECOND_MIN} bytes; send it at once",
        BODY_TIMEOUT.as_secs()
    );
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", detail)
}

/// The error for a body that is too long.
pub fn too_large() -> ApiError {
    let detail = format!("body: more than {BODY_BYTES_MAX} bytes; send fewer items, or several requests");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, ready},
    };

    use http_body_util::Full;
    use hyper::body::Frame;
    use tokio::time::{Interval, interval_at};

    use super::*;

    #[tokio::test]
    async fn bodies_and_answers_share_one_budget_and_release_it() {
        let budget = Budget::default();
        // A body takes one mebibyte of the budget.
        let length = BODY_BYTES_MAX;
        let body = || Full::new(Bytes::from(vec![b' '; length]));
        let counted = BODY_BYTES_MAX - REQUEST_SHARE_BYTES;
        let mut held = Vec::new();
        for _ in 0..TRANSFER_BYTES_MAX / counted {
            held.push(budget.receive(body()).await.unwrap());
        }
        assert_eq!(budget.receive(body()).await.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        let send = |length: usize| budget.send(vec![0; length], Allowance::default());
        assert_eq!(send(length).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        held.pop();
        let answer = send(length).unwrap();
        let part = answer.slice(10..20);
        drop(answer);
        assert!(budget.receive(body()).await.is_err()); // A part of it is still being sent.
        drop(part);
        budget.receive(body()).await.unwrap();
        assert_eq!(send(ANSWER_BYTES_MAX + 1).unwrap_err().kind, "answer-too-large");
    }

    #[tokio::test]
    async fn requests_without_a_share_count_with_all_of_their_bytes() {
        let budget = Budget::default();
        // Almost a share, as an attacker chooses it.
        let length = REQUEST_SHARE_BYTES - 1;
        let mut held: Vec<Allowance> = (0..REQUEST_SHARES_MAX).map(|_| budget.allow(length).unwrap()).collect();
        assert_eq!(budget.bytes.available_permits(), TRANSFER_BYTES_MAX);
        while let Ok(allowance) = budget.allow(length) {
            held.push(allowance);
        }
        assert_eq!(held.len(), REQUEST_SHARES_MAX + TRANSFER_BYTES_MAX / length);
        // An error has a body again as soon as a request returns its bytes.
        let error = || ApiError::field("n", "is not a number");
        let without = budget.send_error(error(), &RequestId::new());
        assert_eq!((without.status(), without.headers().len()), (StatusCode::BAD_REQUEST, 0));
        assert_eq!(without.into_body().collect().await.unwrap().to_bytes(), Bytes::new());
        held.pop();
        let with = budget.send_error(error(), &RequestId::new());
        assert_eq!(with.headers().get("content-type").unwrap(), "application/problem+json");
        drop((held, with));
        assert_eq!(
            (budget.bytes.available_permits(), budget.shares.0.load(Ordering::Relaxed)),
            (TRANSFER_BYTES_MAX, 0)
        );
    }

    #[tokio::test]
    async fn a_request_has_one_share_from_its_body_to_its_answer() {
        let budget = Budget::default();
        let taken = || (budget.shares.0.load(Ordering::Relaxed), TRANSFER_BYTES_MAX - budget.bytes.available_permits());
        let beyond = |bytes: usize| bytes - REQUEST_SHARE_BYTES;
        let body = budget.receive(Full::new(Bytes::from(vec![b' '; 10_000]))).await.unwrap();
        assert_eq!(taken(), (1, beyond(10_000)));
        let mut allowance = body.into_allowance();
        budget.change(&mut allowance, 100).unwrap();
        assert_eq!(taken(), (1, 0));
        budget.change(&mut allowance, 50_000).unwrap();
        assert_eq!(taken(), (1, beyond(50_000)));
        let answer = budget.send(vec![0; 20_000], allowance).unwrap();
        assert_eq!(taken(), (1, beyond(20_000)));
        drop(answer);
        assert_eq!(taken(), (0, 0));
    }

    #[tokio::test]
    async fn small_requests_succeed_while_large_ones_exhaust_the_budget() {
        let budget = Budget::default();
        let _all = budget.allow(TRANSFER_BYTES_MAX + REQUEST_SHARE_BYTES).unwrap();
        let mut small = budget.allow(REQUEST_SHARE_BYTES).unwrap();
        assert_eq!(budget.take(&mut small, 1), Err(Refusal::Overloaded));
        assert!(budget.receive(Full::new(Bytes::from_static(b"{}"))).await.is_ok());
    }

    /// A body that arrives in pieces.
    struct Pieces {
        left: usize,
        piece: Bytes,
        ticks: Interval,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            ready!(self.ticks.poll_tick(cx));
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
        }
    }

    /// Receives a body of which a piece arrives each second.
    async fn receive_in_pieces(left: usize, piece_bytes: usize) -> Result<usize, ApiError> {
        let second = Duration::from_secs(1);
        let ticks = interval_at(Instant::now() + second, second);
        let body = Pieces { left, piece: vec![b' '; piece_bytes].into(), ticks };
        Budget::default().receive(body).await.map(|received| received.length())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_minimum_rate_and_not_a_maximum_time() {
        let begin = Instant::now();
        let slow = receive_in_pieces(1000, 1).await.unwrap_err();
        assert_eq!((slow.status, slow.kind), (StatusCode::REQUEST_TIMEOUT, "body-too-slow"));
        assert!(begin.elapsed() <= BODY_TIMEOUT + Duration::from_secs(1), "{:?}", begin.elapsed());
        // At the minimum rate a long body takes a multiple of the timeout.
        let begin = Instant::now();
        let received = receive_in_pieces(40, BODY_BYTES_PER_SECOND_MIN).await;
        assert_eq!(received.unwrap(), 40 * BODY_BYTES_PER_SECOND_MIN);
        assert!(begin.elapsed() > BODY_TIMEOUT * 4);
        // Half of it is too slow.
        assert!(receive_in_pieces(40, BODY_BYTES_PER_SECOND_MIN / 2).await.is_err());
    }
}
