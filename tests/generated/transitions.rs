//! Changes from one spec to another, for every leaf field of the schema. The final state must equal
//! that of a Recommender that was created with the second spec. After Acto (Gu et al., "Acto:
//! automatic end-to-end testing for operation correctness of cloud system management", SOSP 2023).

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::{proxy::Proxy, wait};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    fake_cluster::FakeCluster,
    final_state::{FinalState, difference, final_state},
    rng::Rng,
    schema::{Leaf, leaves},
    settled::{REJECTED_BY_OPERATOR, settled_state, wait_handled},
    values::{Values, base, spec, values},
};

/// Fields that the simulated cluster does not run: those that start other Jobs than trainings, and
/// compositions, which exclude the data and the fields of a training that all specs here have.
const NOT_SIMULATED: [&str; 6] = [
    "batch.",
    "data.items.refresh",
    "data.items.filters",
    "data.items.columns.title",
    "data.items.columns.available",
    "algorithm.compose.",
];

/// Number of concurrent transitions.
const CONCURRENCY: usize = 8;
/// Number of namespaces for the transitions.
const NAMESPACES: usize = 4;
/// Number of concurrent validation requests to the API server.
const VALIDATION_CONCURRENCY: usize = 8;
/// One transition in this many applies the second spec before the first one is handled.
const IMMEDIATE_ONE_IN: usize = 4;
/// Maximum number of attempts to find two leaf fields that are valid together.
const PAIR_ATTEMPTS_MAX: usize = 50;

/// Result of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The final state equals that of a new Recommender.
    Converged,
    /// The operator rejected the spec, and the workload is unchanged.
    Stalled,
    /// The API server rejected the spec, and nothing changed.
    Rejected,
}

/// Change from one spec to another.
struct Transition {
    number: usize,
    description: String,
    touched: Vec<String>,
    from: Value,
    to: Value,
    /// Whether the second spec is applied before the first one is handled.
    immediate: bool,
}

/// Leaf fields with their test values.
struct Space {
    schema: Value,
    leaves: Vec<(Leaf, Values)>,
}

/// Index of a leaf field, and its value before and after.
type Step = (usize, Choice, Choice);

/// Value of a leaf field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Absent,
    Good(usize),
    Odd(usize),
}

impl Space {
    fn spec(&self, chosen: &[(usize, Choice)]) -> Value {
        let value = |&(leaf, choice): &(usize, Choice)| {
            let (leaf, values) = &self.leaves[leaf];
            Some((
                leaf,
                match choice {
                    Choice::Absent => return None,
                    Choice::Good(number) => &values.good[number],
                    Choice::Odd(number) => &values.odd[number],
                },
            ))
        };
        let set: Vec<(&Leaf, &Value)> = chosen.iter().filter_map(value).collect();
        spec(&self.schema, &set)
    }

    /// Returns two different valid values of a leaf field.
    fn step(&self, leaf: usize, rng: &mut Rng) -> Step {
        let count = self.leaves[leaf].1.good.len() + 1;
        let choice = |number| if number == 0 { Choice::Absent } else { Choice::Good(number - 1) };
        let first = rng.below(count);
        (leaf, choice(first), choice((first + 1 + rng.below(count - 1)) % count))
    }

    fn transition(&self, number: usize, steps: &[Step], rng: &mut Rng) -> Transition {
        let spec_of =
            |of: fn(&Step) -> Choice| self.spec(&steps.iter().map(|step| (step.0, of(step))).collect::<Vec<_>>());
        let (from, to) = (spec_of(|step| step.1), spec_of(|step| step.2));
        let touched: Vec<String> = steps.iter().map(|step| self.leaves[step.0].0.path.clone()).collect();
        let description = format!("{}: {from} to {to}", touched.join(" and "));
        Transition { number, description, touched, from, to, immediate: rng.one_in(IMMEDIATE_ONE_IN) }
    }
}

/// Runs `count` transitions, or more if each leaf field needs them. The operator uses `proxy`.
pub async fn every_leaf(cluster: &FakeCluster, proxy: &Proxy, count: usize, seed: u64) -> Result<()> {
    let schema = cluster.schema().await?;
    let is_simulated = |leaf: &Leaf| !NOT_SIMULATED.iter().any(|start| leaf.path.starts_with(start));
    let leaves = leaves(&schema).into_iter().filter(is_simulated);
    let leaves: Result<Vec<_>> = leaves.map(|leaf| Ok((leaf.clone(), values(&leaf)?))).collect();
    let space = Space { schema, leaves: leaves? };
    for number in 0..NAMESPACES {
        cluster.create_namespace(&format!("t-{number}")).await?;
    }
    let began = Instant::now();
    let rejected = validate_values(cluster, proxy, &space).await?;
    let transitions = plan(cluster, &space, count, seed).await?;
    let results: Vec<(Transition, Result<Outcome>)> = stream::iter(transitions)
        .map(|transition| async move {
            let outcome = run(cluster, proxy, &transition).await;
            if let Err(error) = &outcome {
                eprintln!("{}: {error:#}", transition.description); // The others continue.
            }
            (transition, outcome)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;

    let mut touched = rejected.touched;
    let mut failures = Vec::new();
    let mut counts = [0; 3];
    for (transition, outcome) in &results {
        match outcome {
            Ok(outcome) => {
                counts[*outcome as usize] += 1;
                if *outcome == Outcome::Converged {
                    touched.extend(transition.touched.iter().cloned());
                }
            }
            Err(error) => failures.push(format!("{}: {error:#}", transition.description)),
        }
    }
    println!(
        "| leaf fields | transitions | converged | stalled like a new one | rejected | mismatches | rejected values | seconds |\n\
         |---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} | {:.0} |",
        space.leaves.len(),
        results.len(),
        counts[0],
        counts[1],
        counts[2],
        failures.len(),
        rejected.count,
        began.elapsed().as_secs_f64()
    );
    ensure!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n\n"));
    let untouched: Vec<&String> =
        space.leaves.iter().map(|(leaf, _)| &leaf.path).filter(|path| !touched.contains(*path)).collect();
    ensure!(
        untouched.is_empty(),
        "no transition changed {untouched:?}: add valid values for them to HINTS in values.rs"
    );
    Ok(())
}

/// Values that the API server rejected.
struct Rejected {
    count: usize,
    /// Leaf fields without a valid value.
    touched: BTreeSet<String>,
}

/// Validates every value alone with the API server. Good values are accepted. Bad values are
/// rejected, and an existing Recommender remains unchanged.
async fn validate_values(cluster: &FakeCluster, proxy: &Proxy, space: &Space) -> Result<Rejected> {
    let recommender = ("t-0", "standing");
    let applied = cluster.apply(recommender, &base(), &json!({}), false).await?;
    ensure!(applied.is_ok(), "the API server rejected the base spec");
    let before = (settled_state(cluster, proxy, recommender, None).await?, cluster.get(recommender).await?);
    let mut requests = Vec::new();
    for (leaf, values) in &space.leaves {
        for (good, value) in
            values.good.iter().map(|value| (true, value)).chain(values.bad.iter().map(|value| (false, value)))
        {
            requests.push((good, leaf, value));
        }
    }
    let results: Vec<Result<Option<String>>> = stream::iter(requests)
        .map(|(good, leaf, value)| async move {
            let spec = spec(&space.schema, &[(leaf, value)]);
            let result = cluster.apply(recommender, &spec, &json!({}), good).await?;
            let expected = if good { "accepted" } else { "rejected" };
            Ok((result.is_ok() != good).then(|| format!("{} {value}: {result:?}; expected it {expected}", leaf.path)))
        })
        .buffer_unordered(VALIDATION_CONCURRENCY)
        .collect()
        .await;
    let wrong: Vec<String> = results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = (settled_state(cluster, proxy, recommender, None).await?, cluster.get(recommender).await?);
    ensure!(after.0 == before.0, "a rejected spec changed the Recommender: {}", difference(&after.0, &before.0));
    for part in ["spec", "status"] {
        ensure!(after.1[part] == before.1[part], "a rejected spec changed the {part}: {}", after.1[part]);
    }
    cluster.delete(recommender).await?;
    let never = space.leaves.iter().filter(|(_, values)| values.good.is_empty());
    Ok(Rejected {
        count: space.leaves.iter().map(|(_, values)| values.bad.len()).sum(),
        touched: never.map(|(leaf, _)| leaf.path.clone()).collect(),
    })
}

/// Plans the transitions: first each leaf field alone, then every odd value, then alternately pairs
/// and single leaf fields.
async fn plan(cluster: &FakeCluster, space: &Space, count: usize, seed: u64) -> Result<Vec<Transition>> {
    let mut rng = Rng::new(seed);
    let usable: Vec<usize> = (0..space.leaves.len()).filter(|leaf| !space.leaves[*leaf].1.good.is_empty()).collect();
    let mut steps: Vec<Step> = usable.iter().map(|leaf| space.step(*leaf, &mut rng)).collect();
    for &leaf in &usable {
        let odd = 0..space.leaves[leaf].1.odd.len();
        steps.extend(odd.map(|number| (leaf, space.step(leaf, &mut rng).1, Choice::Odd(number))));
    }
    let mut planned: Vec<Transition> =
        steps.iter().enumerate().map(|(number, step)| space.transition(number, &[*step], &mut rng)).collect();
    while planned.len() < count {
        let number = planned.len();
        if number.is_multiple_of(2) {
            let step = space.step(*rng.pick(&usable), &mut rng);
            planned.push(space.transition(number, &[step], &mut rng));
            continue;
        }
        for _ in 0..PAIR_ATTEMPTS_MAX {
            let pair = [*rng.pick(&usable), *rng.pick(&usable)];
            let steps = pair.map(|leaf| space.step(leaf, &mut rng));
            let transition = space.transition(number, &steps, &mut rng);
            // Rejected values are covered above; here the API server must accept both specs.
            let mut accepted = pair[0] != pair[1];
            for spec in [&transition.from, &transition.to] {
                accepted = accepted && cluster.apply(("t-0", "dry-run"), spec, &json!({}), true).await?.is_ok();
            }
            if accepted {
                planned.push(transition);
                break;
            }
        }
        ensure!(planned.len() > number, "no two leaf fields are valid together");
    }
    Ok(planned)
}

async fn run(cluster: &FakeCluster, proxy: &Proxy, transition: &Transition) -> Result<Outcome> {
    let Transition { number, from, to, immediate, .. } = transition;
    let namespace = format!("t-{}", number % NAMESPACES);
    let (updated, new) = (format!("x{number}-u"), format!("x{number}-n"));
    let (updated, new) = ((namespace.as_str(), updated.as_str()), (namespace.as_str(), new.as_str()));
    let outcome = compare(cluster, proxy, updated, new, (from, to), *immediate).await;
    if outcome.is_ok() {
        cluster.delete(updated).await?;
        cluster.delete(new).await?;
    }
    outcome
}

async fn compare(
    cluster: &FakeCluster,
    proxy: &Proxy,
    updated: (&str, &str),
    new: (&str, &str),
    (from, to): (&Value, &Value),
    immediate: bool,
) -> Result<Outcome> {
    // An odd value may be rejected as the first spec, too. Then there is no transition.
    if cluster.apply(updated, from, &json!({}), false).await?.is_err() {
        return Ok(Outcome::Rejected);
    }
    let before = if immediate {
        None
    } else {
        Some(settled_state(cluster, proxy, updated, None).await.context("the first spec")?)
    };
    // The retrain request makes both train with the second spec, even if its model exists already.
    let annotations = json!({"recmesh.dev/retrain-at": "second"});
    if let Err(message) = cluster.apply(new, to, &annotations, false).await? {
        let update = cluster.apply(updated, to, &annotations, false).await?;
        ensure!(update.is_err(), "the API server rejects this spec on create but accepts it on update: {message}");
        if let Some(before) = &before {
            let after = settled_state(cluster, proxy, updated, None).await?;
            ensure!(after == *before, "a rejected spec changed the Recommender: {}", difference(&after, before));
        }
        return Ok(Outcome::Rejected);
    }
    let update = cluster.apply(updated, to, &annotations, false).await?;
    ensure!(update.is_ok(), "the API server accepts this spec on create but rejects it on update");
    wait::until_async("the final states are equal", async || {
        for recommender in [updated, new] {
            wait_handled(cluster, recommender, Some("second")).await?;
        }
        let (actual, expected) =
            (final_state(&cluster.client, updated).await?, final_state(&cluster.client, new).await?);
        let stalls = expected
            .conditions
            .get("Stalled")
            .is_some_and(|condition| REJECTED_BY_OPERATOR.iter().any(|reason| condition.ends_with(reason)));
        let before = before.as_ref();
        let problem = if stalls {
            check_stalled(&actual, &expected, before)
        } else if determines_served_model(to) {
            (actual != expected).then(|| difference(&actual, &expected))
        } else {
            check_served_model_kept(&actual, &expected, before)
        };
        ensure!(problem.is_none(), "{}", problem.unwrap_or_default());
        Ok(if stalls { Outcome::Stalled } else { Outcome::Converged })
    })
    .await
}

/// Returns whether the served model follows from the spec. Otherwise the current revision keeps
/// serving: the spec is suspended, pins a revision that does not exist, or has a store that does
/// not respond.
fn determines_served_model(spec: &Value) -> bool {
    let is_true = |value: &Value| *value == true;
    !is_true(&spec["suspend"])
        && !is_true(&spec["training"]["suspend"])
        && spec["model"]["revision"].is_null()
        && spec["store"].is_null()
}

/// Checks a spec that is rejected: the condition equals that of a new Recommender. If the operator
/// rejects the spec, the workload is unchanged. If the API server rejects one child, the others are
/// applied, as for a new Recommender.
fn check_stalled(actual: &FinalState, expected: &FinalState, before: Option<&FinalState>) -> Option<String> {
    let stalled = |state: &FinalState| state.conditions.get("Stalled").cloned();
    if stalled(actual) != stalled(expected) {
        return Some(format!("Stalled is {:?}; on a new Recommender {:?}", stalled(actual), stalled(expected)));
    }
    let before = before?;
    let deployment = |state: &FinalState| {
        let found = state.children.iter().find(|(name, _)| name.starts_with("Deployment"));
        found.map(|(_, content)| content.clone())
    };
    let equals = |state: &FinalState| actual.serving == state.serving && deployment(actual) == deployment(state);
    let others_applied = deployment(expected).is_some() && equals(expected);
    (!equals(before) && !others_applied).then(|| format!("the workload changed: {}", difference(actual, before)))
}

/// Checks a spec that does not determine the served model: the children equal those of a new
/// Recommender, and the current revision keeps serving.
fn check_served_model_kept(actual: &FinalState, expected: &FinalState, before: Option<&FinalState>) -> Option<String> {
    for (name, content) in expected.children.iter().filter(|(name, _)| *name != "Job") {
        if actual.children.get(name) != Some(content) {
            return Some(format!("{name}: {}", difference(actual, expected)));
        }
    }
    for kind in ["Suspended", "Stalled"] {
        let (condition, on_new) = (actual.conditions.get(kind), expected.conditions.get(kind));
        if condition != on_new {
            return Some(format!("{kind} is {condition:?}; on a new Recommender {on_new:?}"));
        }
    }
    let before = before?;
    (actual.serving != before.serving && before.serving != Value::Null)
        .then(|| format!("the served revision is {}; before {}", actual.serving, before.serving))
}
