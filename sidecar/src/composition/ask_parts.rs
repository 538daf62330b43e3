//! Asks several parts at the same time.

use std::sync::Arc;

use answering::{Answer, Ask};
use tokio::{task::JoinSet, time::Instant};

use super::part::{Part, PartFailure};

/// What one part is asked.
#[derive(Debug)]
pub struct Group {
    /// The part.
    pub part: Arc<Part>,
    /// Indexes of the questions, each with its number of items.
    pub questions: Vec<(usize, usize)>,
}

/// The answers of each group, or why there are none. The time of each part is that until the
/// deadline. Dropping the future ends the requests.
pub async fn ask_parts(
    asks: &Arc<Vec<Ask>>,
    groups: Vec<Group>,
    deadline: Instant,
) -> Vec<Result<Vec<Answer<'static>>, PartFailure>> {
    let mut answers: Vec<_> = groups.iter().map(|_| Err(PartFailure::Malformed)).collect();
    let mut requests = JoinSet::new();
    for (group, Group { part, questions }) in groups.into_iter().enumerate() {
        let asks = Arc::clone(asks);
        requests.spawn(async move {
            let questions: Vec<(&Ask, usize)> =
                questions.iter().filter_map(|(index, n)| Some((asks.get(*index)?, *n))).collect();
            (group, part.ask(&questions, deadline).await)
        });
    }
    while let Some(finished) = requests.join_next().await {
        // A request that panicked stays without an answer.
        if let Ok((group, found)) = finished
            && let Some(place) = answers.get_mut(group)
        {
            *place = found;
        }
    }
    answers
}
