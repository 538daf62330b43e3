//! What several parts stated about one question: merged answers, or why there is none.

use std::collections::{HashMap, HashSet};

use answering::{Answer, AnswerError, Ask, Item, LeftOut, Part as NamedPart, Reason, Rejection};

use super::{document::Rejected, part::PartFailure};

/// What several parts stated about one question, besides their items.
#[derive(Debug, Default)]
pub struct Merged {
    /// Parts that answered.
    pub parts: Vec<NamedPart>,
    /// Whether an answer is degraded.
    pub degraded: bool,
    /// Parts that did not answer, and might have something to add.
    pub missing: Vec<String>,
    failures: Vec<(String, PartFailure)>,
    left_out: Vec<LeftOut>,
    /// Maximum number of items that satisfy the conditions.
    pub matches: Option<usize>,
}

impl Merged {
    /// Adds what an answer has besides its items.
    pub fn add(&mut self, answer: Answer<'static>) {
        self.degraded |= answer.degraded;
        self.parts.extend(answer.parts.into_owned());
        self.left_out.extend(answer.left_out);
        self.matches = self.matches.max(answer.matches);
    }

    /// A part without the item has nothing to add, so that it is not missing.
    pub fn fail(&mut self, part: &str, failure: PartFailure) {
        if !matches!(&failure, PartFailure::Rejected(Rejected { kind: Rejection::UnknownItem, .. })) {
            self.missing.push(part.to_owned());
        }
        self.failures.push((part.to_owned(), failure));
    }

    /// Why there is no answer: what all parts reject, as the first of them states it, or why no part
    /// answered. A part that did not answer might have.
    pub fn error(&self) -> AnswerError {
        let rejected = |(_, failure): &(String, PartFailure)| match failure {
            PartFailure::Rejected(rejected) => Some(rejected.clone()),
            _ => None,
        };
        let rejections: Option<Vec<Rejected>> = self.failures.iter().map(rejected).collect();
        if let Some(Rejected { kind, detail, index }) = rejections.and_then(|of_all| of_all.into_iter().next()) {
            return AnswerError::Rejected { kind, detail, index };
        }
        let failures = self.failures.iter().map(|(part, failure)| format!("{part}: {failure}"));
        let detail = failures.collect::<Vec<_>>().join("; ");
        let is_own = self.failures.is_empty() || self.failures.iter().any(|(_, failure)| failure.is_own());
        if is_own { AnswerError::Unavailable(detail) } else { AnswerError::UpstreamsFailed(detail) }
    }

    /// The candidates that are in no list: with the reason of the first part that has one.
    pub fn left_out(&self, ask: &Ask, items: &[Item<'_>], beyond: &HashSet<String>) -> Vec<LeftOut> {
        let listed: HashSet<&str> = items.iter().map(|item| &*item.id).collect();
        let candidates = ask.filter.candidates.iter().flatten().filter(|id| !listed.contains(id.as_str()));
        let mut reasons = HashMap::new();
        for LeftOut { id, reason } in self.left_out.iter().filter(|left_out| left_out.reason != Reason::Unknown) {
            reasons.entry(id.as_str()).or_insert(*reason);
        }
        let left_out = candidates.map(|id| {
            let reason = if beyond.contains(id) { Some(Reason::BeyondN) } else { reasons.get(id.as_str()).copied() };
            LeftOut { id: id.clone(), reason: reason.unwrap_or(Reason::Unknown) }
        });
        left_out.collect()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn rejected(kind: Rejection) -> PartFailure {
        PartFailure::Rejected(Rejected { kind, detail: "item: unknown".to_owned(), index: Some(3) })
    }

    fn error(failures: Vec<PartFailure>) -> AnswerError {
        let mut merged = Merged::default();
        for (part, failure) in ["films", "books", "games"].into_iter().zip(failures) {
            merged.fail(part, failure);
        }
        merged.error()
    }

    #[test]
    fn only_what_all_parts_reject_is_rejected() {
        let (unknown, invalid) = (rejected(Rejection::UnknownItem), rejected(Rejection::InvalidField));
        let expected =
            AnswerError::Rejected { kind: Rejection::UnknownItem, detail: "item: unknown".to_owned(), index: Some(3) };
        assert_eq!(error(vec![unknown.clone(), invalid.clone()]), expected, "the first");
        let failed = PartFailure::Status(StatusCode::BAD_GATEWAY);
        for failures in [
            vec![unknown.clone(), failed.clone()],
            vec![failed.clone(), invalid],
            vec![unknown.clone(), failed, unknown],
        ] {
            let AnswerError::UpstreamsFailed(detail) = error(failures) else { panic!("a part might have answered") };
            assert!(detail.contains("answered with status 502"), "{detail}");
        }
        assert_eq!(error(Vec::new()), AnswerError::Unavailable(String::new()));
        // Another pod of the composition may have found the part.
        let failed = PartFailure::Status(StatusCode::BAD_GATEWAY);
        assert!(matches!(error(vec![failed, PartFailure::NotLookedUp]), AnswerError::Unavailable(_)));
    }
}
