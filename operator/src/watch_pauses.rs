//! Growing pauses after the failures of a watch.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Event};

use crate::pause::Pauses;

/// Pauses of a watch that fails. Without a right to list a kind it fails until an administrator
/// grants that right.
const PAUSES: Pauses = Pauses { first: Duration::from_secs(1), max: Duration::from_mins(1) };

/// Delays each failure by its pause, and with it the next attempt, which begins when the stream is
/// polled again. The backoff of kube resets with every attempt: each attempt begins with
/// [`Event::Init`], which it counts as a success, although the list that follows may fail.
pub fn with_pauses<K: Send>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    let mut failures = 0;
    events.then(move |event| {
        match &event {
            Err(_) => failures += 1,
            Ok(Event::Init) => {}
            Ok(_) => failures = 0,
        }
        let pause = event.is_err().then(|| PAUSES.after(failures));
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            event
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_lists_fail_and_begin_anew_after_a_success() {
        let failure = || Err(watcher::Error::NoResourceVersion);
        let attempts = (0..10).flat_map(|_| [Ok(Event::Init), failure()]);
        let success = [Ok(Event::Init), Ok(Event::InitDone), failure()];
        let mut events = Box::pin(with_pauses::<()>(stream::iter(attempts.chain(success))));
        let mut pauses = Vec::new();
        let mut last = Instant::now();
        while let Some(event) = events.next().await {
            if event.is_err() {
                pauses.push(last.elapsed());
                last = Instant::now();
            }
        }
        let [first, .., tenth, again] = pauses[..] else { panic!("{pauses:?}") };
        assert!(first <= PAUSES.first && again <= PAUSES.first, "{pauses:?}");
        assert!(tenth >= PAUSES.max / 2 && tenth <= PAUSES.max + Duration::from_millis(1), "{pauses:?}");
    }
}
