//! The ways to answer a question.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{answer::Answer, ask::Ask, error::AnswerError, local::Local};

/// One way to answer a question. Endpoints and the command line know no more than this type.
#[derive(Clone, Debug)]
pub enum Answerer {
    /// A revision that is loaded in this process. Answering is CPU work without I/O.
    Local(Arc<Local>),
    /// Another process. Answering is I/O.
    Upstream(Arc<dyn Upstream>),
}

/// An answer that is on its way.
pub type UpstreamAnswer<'a> = Pin<Box<dyn Future<Output = Result<Answer<'static>, AnswerError>> + Send + 'a>>;

/// Answers to several questions that are on their way, in the order of the questions.
pub type UpstreamAnswers<'a> = Pin<Box<dyn Future<Output = Vec<Result<Answer<'static>, AnswerError>>> + Send + 'a>>;

/// A connection to another process that answers. This crate defines the interface; a crate
/// that knows the network implements it.
pub trait Upstream: fmt::Debug + Send + Sync {
    /// Forwards the question. The implementation respects [`Ask::deadline`].
    fn answer(&self, ask: Ask) -> UpstreamAnswer<'_>;

    /// Forwards the questions of a batch; without an implementation of its own, one after the other.
    fn answer_each(&self, asks: Vec<Ask>) -> UpstreamAnswers<'_> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(asks.len());
            for ask in asks {
                answers.push(self.answer(ask).await);
            }
            answers
        })
    }
}

impl Answerer {
    /// The loaded revision, if this process has one.
    pub fn local(&self) -> Option<&Arc<Local>> {
        match self {
            Self::Local(local) => Some(local),
            Self::Upstream(_) => None,
        }
    }
}
