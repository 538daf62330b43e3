//! Converts a Recommender that is made of others to a plan, and finds what is wrong with its parts.
//! Pure: the Recommenders of its parts, and of theirs, are arguments.

use std::collections::BTreeMap;

use recommender_crds::{
    Compose, ConditionType, Identity, Normalize, Reason, Recommender, Signal, SwitchField as Field,
    condition::ConditionUpdate,
};
use sidecar_contract::{
    CompositionConfig, PartConfig, Rule, ServingLimits,
    composition::{
        Blend, Cascade, Normalize as ContractNormalize, SharedPart, Split, Switch, SwitchBy, SwitchCase, SwitchField,
        WeightedPart,
    },
};

use super::{Rejection, Workload, access};
use crate::observed::Observed;

/// Recommenders by name: those that a composition names, those that these name, and so on. `None`:
/// there is none of the name.
pub type Named = BTreeMap<String, Option<Recommender>>;

/// A validated Recommender that is made of others.
#[derive(Clone, Debug, PartialEq)]
pub struct CompositionPlan {
    /// What it has in common with those that train a model.
    pub workload: Workload,
    /// How the answers of the parts become one.
    pub rule: Rule,
    /// Its parts, in the order of the rule. One that is missing is among them: its pods are found
    /// as soon as there are any.
    pub parts: Vec<PartConfig>,
    /// What is wrong with the parts.
    pub problem: Option<PartsProblem>,
}

/// What is wrong with the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartsProblem {
    /// Reason for a condition.
    pub reason: Reason,
    /// Message for a condition.
    pub message: String,
    /// Whether the other parts can answer meanwhile. If not, the composition in force stays.
    pub is_partial: bool,
}

impl CompositionPlan {
    /// The config of the pods; `None` if the composition must not be served.
    pub fn config(&self) -> Option<CompositionConfig> {
        if self.problem.as_ref().is_some_and(|problem| !problem.is_partial) {
            return None;
        }
        Some(CompositionConfig {
            namespace: self.workload.namespace.clone(),
            name: self.workload.name.clone(),
            rule: self.rule.clone(),
            parts: self.parts.clone(),
            limits: limits(&self.workload.spec.serving.limits),
            access: self.workload.access.clone(),
        })
    }

    /// The condition of the parts.
    pub fn condition(&self) -> ConditionUpdate {
        if let Some(problem) = &self.problem {
            return ConditionUpdate::is_not(ConditionType::PartsReady, problem.reason, &*problem.message);
        }
        let message = format!("{}: all exist, and their pods can be asked", self.rule);
        ConditionUpdate::is(ConditionType::PartsReady, Reason::PartsFound, message)
    }
}

/// Names of the parts that a Recommender names; none if it trains a model.
pub fn parts_of(recommender: &Recommender) -> Vec<String> {
    let rule = recommender.spec.compose().and_then(|compose| rule(compose).ok());
    rule.map(|rule| rule.parts().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// Validates a Recommender that is made of others. `signs`: the installation signs certificates.
///
/// # Errors
/// Returns why it is rejected. A problem with its parts is not a rejection: they can change at any
/// time.
pub fn validate(
    recommender: &Recommender,
    named: &Named,
    signs: bool,
    observed: &Observed,
) -> Result<CompositionPlan, Rejection> {
    let plan = plan(recommender, named, signs).map_err(Rejection::InvalidSpec)?;
    let conflict = plan.workload.conflict(observed);
    conflict.map_or(Ok(plan), Err)
}

/// Converts a Recommender that is made of others.
///
/// # Errors
/// Returns all problems; each names the field and the expected value.
pub fn plan(recommender: &Recommender, named: &Named, signs: bool) -> Result<CompositionPlan, Vec<String>> {
    let mut problems = Vec::new();
    let workload = Workload::of(recommender, &mut problems);
    let rule = match recommender.spec.compose().map(rule) {
        Some(Ok(rule)) => Some(rule),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
        None => {
            problems.push("algorithm.compose: missing".to_owned());
            None
        }
    };
    let (Some(rule), true) = (rule, problems.is_empty()) else { return Err(problems) };
    let asked: Vec<Asked> = rule.parts().into_iter().map(|name| ask(&workload, name, named, signs)).collect();
    let problem = cycle(&workload.name, &rule, named)
        .or_else(|| unlike(&rule, named))
        .or_else(|| missing(&workload, &asked))
        .or_else(|| unreachable(&asked));
    let parts = asked.into_iter().map(|asked| asked.part).collect();
    Ok(CompositionPlan { workload, rule, parts, problem })
}

/// A part, and whether it can be asked.
struct Asked {
    part: PartConfig,
    exists: bool,
    /// Why not, if the part refuses this composition.
    refusal: Option<String>,
}

/// How a part is asked: with mutual TLS where both have certificates and the part admits the
/// composition, else without TLS where the part allows it.
fn ask(workload: &Workload, name: &str, named: &Named, signs: bool) -> Asked {
    let found = named.get(name).and_then(Option::as_ref);
    let spec = found.map(|found| &found.spec);
    let access = access::plan(spec.and_then(|spec| spec.access.as_ref()));
    let own = workload.spec.serving.pod.service_account_name.as_deref().unwrap_or(&workload.name);
    let has_certificate =
        spec.is_some_and(|spec| spec.access.as_ref().is_none_or(|access| access.identity == Identity::Auto));
    let is_admitted = access.allows(&workload.namespace, &workload.namespace, own);
    let is_mutual = signs && has_certificate && workload.wants_identity();
    let uses_tls = is_mutual && is_admitted;
    let account =
        spec.and_then(|spec| spec.serving.pod.service_account_name.clone()).unwrap_or_else(|| name.to_owned());
    let refusal = match (uses_tls || spec.is_none() || access.allows_plaintext(), is_mutual) {
        (true, _) => None,
        (false, true) => Some(format!("{name}: its access.allow does not have ServiceAccount {own}: add it")),
        (false, false) => Some(format!(
            "{name}: it answers with mutual TLS only (access.plaintext: Never), and this composition has no certificate: \
             remove access.identity: None, or turn identity on in the installation"
        )),
    };
    let limits = spec.map(|spec| limits(&spec.serving.limits)).unwrap_or_default();
    let service_account = uses_tls.then_some(account);
    let part = PartConfig { name: name.to_owned(), service_account, addresses: Vec::new(), limits };
    Asked { part, exists: found.is_some(), refusal }
}

fn missing(workload: &Workload, asked: &[Asked]) -> Option<PartsProblem> {
    let missing: Vec<&str> = asked.iter().filter(|asked| !asked.exists).map(|asked| asked.part.name.as_str()).collect();
    (!missing.is_empty()).then(|| PartsProblem {
        reason: Reason::PartNotFound,
        message: format!(
            "namespace {} has no Recommender {}: create it, or remove it from algorithm.compose; the other parts answer",
            workload.namespace,
            missing.join(", ")
        ),
        is_partial: true,
    })
}

fn unreachable(asked: &[Asked]) -> Option<PartsProblem> {
    let refusals: Vec<&str> = asked.iter().filter_map(|asked| asked.refusal.as_deref()).collect();
    (!refusals.is_empty()).then(|| PartsProblem {
        reason: Reason::PartUnreachable,
        message: format!("{}; the other parts answer", refusals.join("; ")),
        is_partial: true,
    })
}

/// A part that is made of this Recommender, by whatever way: an answer would never end.
fn cycle(name: &str, rule: &Rule, named: &Named) -> Option<PartsProblem> {
    let mut open: Vec<Vec<String>> =
        rule.parts().into_iter().map(|part| vec![name.to_owned(), part.to_owned()]).collect();
    let mut seen: Vec<String> = Vec::new();
    while let Some(path) = open.pop() {
        let Some(last) = path.last().cloned() else { continue };
        if path.iter().filter(|of_path| **of_path == last).count() > 1 {
            let message = format!(
                "{} is a cycle, so an answer would never end: remove one of them; the composition in force stays",
                path.join(" > ")
            );
            return Some(PartsProblem { reason: Reason::PartsCyclic, message, is_partial: false });
        }
        if seen.contains(&last) {
            continue;
        }
        let next = named.get(&last).and_then(Option::as_ref).map(parts_of).unwrap_or_default();
        open.extend(next.into_iter().map(|part| path.iter().cloned().chain([part]).collect()));
        seen.push(last);
    }
    None
}

/// Parts whose scores have different meanings, in a blend by scores.
fn unlike(rule: &Rule, named: &Named) -> Option<PartsProblem> {
    let Rule::Blend(blend) = rule else { return None };
    if blend.normalize != ContractNormalize::Score {
        return None;
    }
    let kinds: Vec<(&str, &str)> =
        blend.parts.iter().filter_map(|part| Some((part.name.as_str(), kind(part, named)?))).collect();
    let (first, first_kind) = kinds.first()?;
    let (other, other_kind) = kinds.iter().find(|(_, kind)| kind != first_kind)?;
    let message = format!(
        "blend.normalize: score compares {first_kind} of {first} with {other_kind} of {other}: use normalize: rank; the \
         composition in force stays"
    );
    Some(PartsProblem { reason: Reason::PartsUnlike, message, is_partial: false })
}

/// What the scores of a part mean; `None` if it does not exist.
fn kind(part: &WeightedPart, named: &Named) -> Option<&'static str> {
    let spec = &named.get(&part.name)?.as_ref()?.spec;
    Some(match spec.data.as_ref().map(|data| data.signal) {
        Some(Signal::Implicit) => "preferences (data.signal: implicit)",
        Some(Signal::Explicit) => "ratings (data.signal: explicit)",
        None => "composed scores",
    })
}

/// The rule in the terms of the contract.
fn rule(compose: &Compose) -> Result<Rule, String> {
    let Compose { blend, cascade, switch, split } = compose;
    match (blend, cascade, switch, split) {
        (Some(blend), None, None, None) => Ok(Rule::Blend(Blend {
            parts: blend
                .parts
                .iter()
                .map(|part| WeightedPart { name: part.name.clone(), weight: part.weight })
                .collect(),
            normalize: match blend.normalize {
                Normalize::Rank => ContractNormalize::Rank,
                Normalize::Score => ContractNormalize::Score,
            }
            .into(),
        })),
        (None, Some(cascade), None, None) => Ok(Rule::Cascade(Cascade {
            parts: cascade.parts.clone(),
            min_items: cascade.min_items,
            accept_degraded: cascade.accept_degraded,
        })),
        (None, None, Some(switch), None) => {
            let by = match (&switch.header, switch.field) {
                (Some(header), None) => SwitchBy::Header(header.clone()),
                (None, Some(Field::User)) => SwitchBy::Field(SwitchField::User),
                (None, Some(Field::Query)) => SwitchBy::Field(SwitchField::Query),
                _ => return Err("algorithm.compose.switch: expected either header or field".to_owned()),
            };
            let case =
                |case: &recommender_crds::SwitchCase| SwitchCase { value: case.value.clone(), part: case.part.clone() };
            let cases = switch.cases.iter().map(case).collect();
            Ok(Rule::Switch(Switch { by, cases, default: switch.default.clone() }))
        }
        (None, None, None, Some(split)) => Ok(Rule::Split(Split {
            parts: split.parts.iter().map(|part| SharedPart { name: part.name.clone(), share: part.share }).collect(),
            salt: split.salt.clone(),
        })),
        _ => Err("algorithm.compose: expected exactly one of blend, cascade, switch and split".to_owned()),
    }
}

/// Request limits in the terms of the contract.
fn limits(limits: &recommender_crds::ServingLimits) -> ServingLimits {
    ServingLimits {
        items_per_answer_max: limits.items_per_answer_max,
        history_per_request_max: limits.history_per_request_max,
        requests_per_batch_max: limits.requests_per_batch_max,
        latency_budget_milliseconds: limits.latency_budget_milliseconds,
    }
}

#[cfg(test)]
mod tests;
