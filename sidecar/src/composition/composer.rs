//! Composes answers: asks the parts that the rule names, and makes one answer of theirs.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use answering::{
    Answer, AnswerError, Ask, DEFAULT_VARIANT, Page, Part as NamedPart, Upstream, UpstreamAnswer, UpstreamAnswers,
};
use sidecar_contract::{
    Rule,
    composition::{Blend, Cascade, Normalize, WeightedPart},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    ask_parts::{Group, ask_parts},
    blend::{WeightedList, blend, depth},
    cascade,
    document::Rejected,
    merged::Merged,
    part::{Part, PartFailure, time_of_parts},
    question::has_several_conditions,
    select::{shared, switched},
};
use crate::{
    limits::{ANSWER_TIMEOUT, COMPOSED_REQUESTS_MAX, COMPOSED_TIMEOUT, COMPOSING_TIME_DIVISOR, COMPOSING_TIME_MAX},
    metrics::Metrics,
};

/// A composition: its rule, and what asks its parts.
#[derive(Debug)]
pub struct Composer {
    revision: String,
    rule: Rule,
    parts: BTreeMap<String, Arc<Part>>,
    slots: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

type Composed = Result<Answer<'static>, AnswerError>;
type PartAnswer = Result<Answer<'static>, PartFailure>;

impl Composer {
    /// A composition by a rule, all of whose parts are among these.
    pub fn new(rule: Rule, parts: BTreeMap<String, Arc<Part>>, metrics: Arc<Metrics>) -> Self {
        let revision = rule.digest().revision().to_owned();
        Self { revision, rule, parts, slots: Arc::new(Semaphore::new(COMPOSED_REQUESTS_MAX)), metrics }
    }

    async fn compose(&self, asks: Vec<Ask>) -> Vec<Composed> {
        let Ok(_slot) = self.slots.try_acquire() else {
            let error = || AnswerError::Unavailable("too many composed requests are in flight".to_owned());
            return asks.iter().map(|_| Err(error())).collect();
        };
        let now = Instant::now();
        let deadlines = asks.iter().filter_map(|ask| ask.deadline.map(Instant::from_std));
        let left =
            deadlines.min().map_or(COMPOSED_TIMEOUT, |end| end.saturating_duration_since(now).min(ANSWER_TIMEOUT));
        let deadline = now + time_of_parts(left, COMPOSING_TIME_DIVISOR, COMPOSING_TIME_MAX);
        if let Some(error) = first_not_composable(&asks, not_askable) {
            return asks.iter().map(|_| Err(error.clone())).collect();
        }
        let asks = Arc::new(asks);
        let answers = match &self.rule {
            Rule::Blend(rule) => self.blended(rule, &asks, deadline).await,
            Rule::Cascade(rule) => self.cascaded(rule, &asks, deadline).await,
            Rule::Switch(rule) => {
                let selected = |ask: &Ask| Some((switched(rule, ask).to_owned(), Some(rule.default.clone())));
                self.selected(selected, &asks, deadline).await
            }
            Rule::Split(rule) => {
                let selected = |ask: &Ask| Some((shared(rule, &ask.query)?.to_owned(), None));
                self.selected(selected, &asks, deadline).await
            }
        };
        for answer in answers.iter().flatten() {
            self.metrics.composition.count_answer(answer.degraded);
        }
        answers
    }

    /// The items of all parts.
    async fn blended(&self, rule: &Blend, asks: &Arc<Vec<Ask>>, deadline: Instant) -> Vec<Composed> {
        if let Some(error) = first_not_composable(asks, not_mergeable) {
            return asks.iter().map(|_| Err(error.clone())).collect();
        }
        let questions = || asks.iter().map(|ask| depth(ask.n)).enumerate().collect();
        let known = rule.parts.iter().filter_map(|part| Some((part, self.parts.get(&part.name)?)));
        let (parts, groups): (Vec<&WeightedPart>, Vec<Group>) =
            known.map(|(part, asked)| (part, Group { part: Arc::clone(asked), questions: questions() })).unzip();
        let answers = ask_parts(asks, groups, deadline).await;
        let mut by_part: Vec<_> = answers.into_iter().map(|answers| answers.map(Vec::into_iter)).collect();
        let normalize = rule.normalize.known().unwrap_or_default();
        asks.iter()
            .map(|ask| {
                let of_parts = parts.iter().zip(&mut by_part).map(|(part, answers)| {
                    let answer = match answers {
                        Ok(answers) => answers.next().ok_or(PartFailure::Malformed),
                        Err(failure) => Err(failure.clone()),
                    };
                    (*part, answer)
                });
                self.blend_one(ask, normalize, of_parts.collect())
            })
            .collect()
    }

    fn blend_one(&self, ask: &Ask, normalize: Normalize, of_parts: Vec<(&WeightedPart, PartAnswer)>) -> Composed {
        let mut merged = Merged::default();
        let mut lists = Vec::with_capacity(of_parts.len());
        for (part, answer) in of_parts {
            match answer {
                Ok(mut answer) => {
                    let items = std::mem::take(&mut answer.items);
                    lists.push(WeightedList { weight: part.weight, items });
                    merged.add(answer);
                }
                Err(failure) => merged.fail(&part.name, failure),
            }
        }
        if lists.is_empty() {
            return Err(merged.error());
        }
        let mut items = blend(lists, normalize);
        let beyond: HashSet<String> = items.drain(ask.n.min(items.len())..).map(|item| item.id.into_owned()).collect();
        let left_out = merged.left_out(ask, &items, &beyond);
        let matches = merged.matches.filter(|_| items.len() < ask.n);
        let mut parts = vec![self.whole(DEFAULT_VARIANT)];
        parts.append(&mut merged.parts);
        Ok(Answer {
            request_id: ask.request_id.clone(),
            parts: parts.into(),
            items,
            left_out,
            matches,
            next: None,
            degraded: merged.degraded || !merged.missing.is_empty(),
            missing: merged.missing,
        })
    }

    /// The first answer that is good enough.
    async fn cascaded(&self, rule: &Cascade, asks: &Arc<Vec<Ask>>, deadline: Instant) -> Vec<Composed> {
        if let Some(error) = first_not_composable(asks, not_pageable) {
            return asks.iter().map(|_| Err(error.clone())).collect();
        }
        let mut states: Vec<CascadeState> = asks.iter().map(|_| CascadeState::default()).collect();
        for (asked, name) in rule.parts.iter().enumerate() {
            let open = states.iter().enumerate().filter(|(_, state)| !state.is_done);
            let questions: Vec<(usize, usize)> =
                open.filter_map(|(index, _)| Some((index, asks.get(index)?.n))).collect();
            let Some(part) = self.parts.get(name).filter(|_| !questions.is_empty()) else { continue };
            let indexes: Vec<usize> = questions.iter().map(|(index, _)| *index).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            let end = Instant::now() + cascade::time(left, rule.parts.len() - asked);
            let group = Group { part: Arc::clone(part), questions };
            let mut answers = ask_parts(asks, vec![group], end).await.pop().map(|answers| answers.map(Vec::into_iter));
            for index in &indexes {
                let (Some(state), Some(ask)) = (states.get_mut(*index), asks.get(*index)) else { continue };
                match answers.as_mut() {
                    Some(Ok(answers)) => state.take(answers.next(), rule, ask),
                    Some(Err(failure)) => state.merged.fail(name, at_question(failure.clone(), &indexes)),
                    None => {}
                }
            }
        }
        states.into_iter().map(|state| state.answer().map(|(answer, missing)| self.of_part(answer, missing))).collect()
    }

    /// The answer of one part for each question; of a second one, if the first one fails.
    async fn selected(
        &self,
        select: impl Fn(&Ask) -> Option<(String, Option<String>)>,
        asks: &Arc<Vec<Ask>>,
        deadline: Instant,
    ) -> Vec<Composed> {
        let selected: Vec<_> = asks.iter().map(select).collect();
        let has_other = selected.iter().flatten().any(|(first, other)| other.as_ref().is_some_and(|o| o != first));
        let now = Instant::now();
        let first_end = if has_other { now + deadline.saturating_duration_since(now) / 2 } else { deadline };
        let first: Vec<_> = selected.iter().map(|of| of.as_ref().map(|(first, _)| first.clone())).collect();
        let mut answers = self.ask_selected(&first, asks, first_end).await;
        let other: Vec<Option<String>> = selected
            .iter()
            .zip(&answers)
            .map(|(of, answer)| {
                let (first, other) = of.as_ref()?;
                let may_help = !matches!(answer, Ok(_) | Err(PartFailure::Rejected(_)));
                other.clone().filter(|other| may_help && other != first)
            })
            .collect();
        let failed = |index: usize| first.get(index).cloned().flatten().unwrap_or_default();
        let mut missing: Vec<Vec<String>> = answers.iter().map(|_| Vec::new()).collect();
        if other.iter().any(Option::is_some) {
            let others = self.ask_selected(&other, asks, deadline).await;
            for (index, found) in others.into_iter().enumerate() {
                if let (Some(Some(_)), Ok(found)) = (other.get(index), found)
                    && let (Some(answer), Some(missing)) = (answers.get_mut(index), missing.get_mut(index))
                {
                    *answer = Ok(found);
                    missing.push(failed(index));
                }
            }
        }
        let composed = answers.into_iter().zip(missing).enumerate().map(|(index, (answer, missing))| match answer {
            Ok(answer) => Ok(self.of_part(answer, missing)),
            Err(failure) => {
                let mut merged = Merged::default();
                merged.fail(&failed(index), failure);
                Err(merged.error())
            }
        });
        composed.collect()
    }

    /// Asks each named part its questions, all parts at the same time.
    async fn ask_selected(&self, names: &[Option<String>], asks: &Arc<Vec<Ask>>, deadline: Instant) -> Vec<PartAnswer> {
        let mut questions: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, (name, ask)) in names.iter().zip(asks.iter()).enumerate() {
            if let Some(name) = name {
                questions.entry(name).or_default().push((index, ask.n));
            }
        }
        let groups = questions.into_iter().filter_map(|(name, questions)| {
            let part = Arc::clone(self.parts.get(name)?);
            Some((questions.iter().map(|(index, _)| *index).collect::<Vec<usize>>(), Group { part, questions }))
        });
        let (indexes, groups): (Vec<Vec<usize>>, Vec<Group>) = groups.unzip();
        let mut found: Vec<PartAnswer> = names.iter().map(|_| Err(PartFailure::Malformed)).collect();
        for (indexes, answers) in indexes.iter().zip(ask_parts(asks, groups, deadline).await) {
            let mut answers = answers.map(Vec::into_iter);
            for index in indexes {
                let Some(place) = found.get_mut(*index) else { continue };
                *place = match &mut answers {
                    Ok(answers) => answers.next().ok_or(PartFailure::Malformed),
                    Err(failure) => Err(at_question(failure.clone(), indexes)),
                };
            }
        }
        found
    }

    /// What answers as a whole.
    fn whole(&self, variant: &str) -> NamedPart {
        NamedPart { name: None, revision: self.revision.clone(), variant: variant.to_owned(), catalogue: None }
    }

    /// The answer of one part as that of the composition.
    fn of_part(&self, answer: Answer<'static>, missing: Vec<String>) -> Answer<'static> {
        let name = answer.parts.first().and_then(|part| part.name.clone()).unwrap_or_default();
        let mut parts = vec![self.whole(&name)];
        parts.extend(answer.parts.into_owned());
        let degraded = answer.degraded || !missing.is_empty();
        Answer { parts: parts.into(), degraded, missing, ..answer }
    }
}

impl Upstream for Composer {
    fn answer(&self, ask: Ask) -> UpstreamAnswer<'_> {
        Box::pin(async move {
            let answer = self.compose(vec![ask]).await.pop();
            answer.unwrap_or_else(|| Err(AnswerError::Unavailable("the composition has no rule".to_owned())))
        })
    }

    fn answer_each(&self, asks: Vec<Ask>) -> UpstreamAnswers<'_> {
        Box::pin(self.compose(asks))
    }
}

/// One question of a cascade.
#[derive(Debug, Default)]
struct CascadeState {
    /// Whether an answer was good enough.
    is_done: bool,
    best: Option<Answer<'static>>,
    merged: Merged,
}

impl CascadeState {
    fn take(&mut self, answer: Option<Answer<'static>>, rule: &Cascade, ask: &Ask) {
        let Some(answer) = answer else { return };
        self.is_done = cascade::is_good(rule, ask, &answer);
        self.best = Some(match self.best.take().filter(|_| !self.is_done) {
            Some(best) => cascade::better(best, answer),
            None => answer,
        });
    }

    /// The answer, and the parts that failed before.
    fn answer(self) -> Result<(Answer<'static>, Vec<String>), AnswerError> {
        let Self { best, merged, .. } = self;
        best.map_or_else(|| Err(merged.error()), |best| Ok((best, merged.missing.clone())))
    }
}

/// A rejection with the index that the question has in the whole batch.
fn at_question(failure: PartFailure, indexes: &[usize]) -> PartFailure {
    match failure {
        PartFailure::Rejected(Rejected { kind, detail, index }) => {
            let index = index.and_then(|index| indexes.get(index).copied());
            PartFailure::Rejected(Rejected { kind, detail, index })
        }
        other => other,
    }
}

/// The error for a batch whose first question that a composition cannot answer is this one.
fn first_not_composable(asks: &[Ask], check: impl Fn(&Ask) -> Option<NotComposable>) -> Option<AnswerError> {
    let (index, (field, reason)) = asks.iter().enumerate().find_map(|(index, ask)| Some((index, check(ask)?)))?;
    Some(AnswerError::NotComposable { field, reason, index: Some(index) })
}

/// A field, and why a composition cannot answer a question with it.
type NotComposable = (&'static str, &'static str);

/// What no part can be asked.
fn not_askable(ask: &Ask) -> Option<NotComposable> {
    let reason = "a composition takes values of a column, or other conditions on it, not both; send one of them";
    has_several_conditions(&ask.filter.matching).then_some(("where", reason))
}

/// What a list of several parts cannot have.
fn not_mergeable(ask: &Ask) -> Option<NotComposable> {
    let explain =
        ask.explain.then_some(("explain", "scores of a blend have no contributions; send explain to the parts"));
    explain.or_else(|| not_pageable(ask))
}

/// What a list of a part that is not the same for each request cannot have.
fn not_pageable(ask: &Ask) -> Option<NotComposable> {
    let reason = "a blend and a cascade have no pages; send a larger n, or exclude what was shown";
    (ask.page != Page::Only).then_some(("cursor", reason))
}
