//! From one spec to another, for every leaf of the schema: the end must be that of a Recommender which was made with the second.
//! After Acto (Gu et al., "Acto: automatic end-to-end testing for operation correctness of cloud system management", SOSP 2023).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    ends::{End, difference, end},
    schema::{Leaf, leaves},
    values::{Values, base, spec, values},
    world::World,
};

/// Transitions that run at once.
const AT_ONCE: usize = 8;
/// Namespaces that they are spread over.
const NAMESPACES: usize = 4;
/// Questions to the API server at once.
const QUESTIONS_AT_ONCE: usize = 8;
/// Longest wait for an end; it ends a hanging transition and decides none.
const PATIENCE: Duration = Duration::from_mins(3);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// One transition in so many does not wait for the first spec to be worked with.
const HURRIED_ONE_IN: usize = 4;
/// Why a spec that the API server admits is not worked with.
const UNWORKABLE: [&str; 2] = ["InvalidSpec", "Forbidden"];
/// Tries to find a pair of leaves that go together.
const PAIR_TRIES: usize = 50;

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It ended as a fresh Recommender does.
    AsFresh,
    /// The operator says that it cannot be worked with, and what ran runs on.
    Stalled,
    /// The API server refused it, and nothing changed.
    Refused,
}

/// From one spec to another.
struct Transition {
    number: usize,
    what: String,
    touched: Vec<String>,
    from: Value,
    to: Value,
    /// Whether the second spec comes before the first is worked with.
    hurried: bool,
}

/// Leaves, and what is tried at each.
struct Space {
    schema: Value,
    leaves: Vec<(Leaf, Values)>,
}

/// A leaf by its number, and what it is before and after.
type Step = (usize, Choice, Choice);

/// A value of a leaf.
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

    /// Two different choices at a leaf, both of which can be worked with.
    fn step(&self, leaf: usize, dice: &mut Dice) -> Step {
        let count = self.leaves[leaf].1.good.len() + 1;
        let choice = |number| if number == 0 { Choice::Absent } else { Choice::Good(number - 1) };
        let first = dice.below(count);
        (leaf, choice(first), choice((first + 1 + dice.below(count - 1)) % count))
    }

    fn transition(&self, number: usize, steps: &[Step], dice: &mut Dice) -> Transition {
        let side =
            |of: fn(&Step) -> Choice| self.spec(&steps.iter().map(|step| (step.0, of(step))).collect::<Vec<_>>());
        let (from, to) = (side(|step| step.1), side(|step| step.2));
        let touched: Vec<String> = steps.iter().map(|step| self.leaves[step.0].0.path.clone()).collect();
        let what = format!("{}: {from} to {to}", touched.join(" and "));
        Transition { number, what, touched, from, to, hurried: dice.one_in(HURRIED_ONE_IN) }
    }
}

/// Runs so many transitions; at least one for each leaf.
pub async fn every_leaf(world: &World, count: usize, seed: u64) -> Result<()> {
    let schema = world.schema().await?;
    let leaves: Result<Vec<_>> = leaves(&schema).into_iter().map(|leaf| Ok((leaf.clone(), values(&leaf)?))).collect();
    let space = Space { schema, leaves: leaves? };
    for number in 0..NAMESPACES {
        world.make_namespace(&format!("t-{number}")).await?;
    }
    let began = Instant::now();
    let refused = asked(world, &space).await?;
    let transitions = plan(world, &space, count, seed).await?;
    let results: Vec<(Transition, Result<Outcome>)> = stream::iter(transitions)
        .map(|transition| async move {
            let outcome = run(world, &transition).await;
            if let Err(error) = &outcome {
                eprintln!("{}: {error:#}", transition.what); // The rest goes on meanwhile.
            }
            (transition, outcome)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    let mut touched = refused.touched;
    let mut failures = Vec::new();
    let mut counts = [0; 3];
    for (transition, outcome) in &results {
        match outcome {
            Ok(outcome) => {
                counts[*outcome as usize] += 1;
                if *outcome == Outcome::AsFresh {
                    touched.extend(transition.touched.iter().cloned());
                }
            }
            Err(error) => failures.push(format!("{}: {error:#}", transition.what)),
        }
    }
    println!(
        "| leaves | transitions | as a fresh one | stalled, as a fresh one | refused | mismatches | values refused | seconds |\n\
         |---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} | {} | {:.0} |",
        space.leaves.len(),
        results.len(),
        counts[0],
        counts[1],
        counts[2],
        failures.len(),
        refused.count,
        began.elapsed().as_secs_f64()
    );
    ensure!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n\n"));
    let untouched: Vec<&String> =
        space.leaves.iter().map(|(leaf, _)| &leaf.path).filter(|path| !touched.contains(*path)).collect();
    ensure!(untouched.is_empty(), "no transition of {untouched:?}: say in values.rs what these may be");
    Ok(())
}

/// What the API server refused.
struct Refused {
    count: usize,
    /// Leaves all of whose values are refused.
    touched: BTreeSet<String>,
}

/// Asks the API server of every value alone: good ones are admitted; bad ones are refused, and leave a Recommender that runs
/// as it is.
async fn asked(world: &World, space: &Space) -> Result<Refused> {
    let who = ("t-0", "standing");
    ensure!(world.apply(who, &base(), &json!({}), false).await?.is_ok(), "the base is refused");
    settled(world, who, None).await?;
    let before = (world.get(who).await?, end(&world.client, who).await?);
    let mut questions = Vec::new();
    for (leaf, values) in &space.leaves {
        for (good, value) in
            values.good.iter().map(|value| (true, value)).chain(values.bad.iter().map(|value| (false, value)))
        {
            questions.push((good, leaf, value));
        }
    }
    let answers: Vec<Result<Option<String>>> = stream::iter(questions)
        .map(|(good, leaf, value)| async move {
            let spec = spec(&space.schema, &[(leaf, value)]);
            let said = world.apply(who, &spec, &json!({}), good).await?;
            Ok((said.is_ok() != good).then(|| format!("{} {value}: {said:?}, and should be the other way", leaf.path)))
        })
        .buffer_unordered(QUESTIONS_AT_ONCE)
        .collect()
        .await;
    let wrong: Vec<String> = answers.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    tokio::time::sleep(PAUSE).await;
    let after = (world.get(who).await?, end(&world.client, who).await?);
    ensure!(before == after, "what was refused changed what runs: {}", difference(&after.1, &before.1));
    world.delete(who).await?;
    let never = space.leaves.iter().filter(|(_, values)| values.good.is_empty());
    Ok(Refused {
        count: space.leaves.iter().map(|(_, values)| values.bad.len()).sum(),
        touched: never.map(|(leaf, _)| leaf.path.clone()).collect(),
    })
}

/// First each leaf alone, then every odd value, then pairs and single leaves by turns.
async fn plan(world: &World, space: &Space, count: usize, seed: u64) -> Result<Vec<Transition>> {
    let mut dice = Dice::new(seed);
    let usable: Vec<usize> = (0..space.leaves.len()).filter(|leaf| !space.leaves[*leaf].1.good.is_empty()).collect();
    let mut steps: Vec<Step> = usable.iter().map(|leaf| space.step(*leaf, &mut dice)).collect();
    for &leaf in &usable {
        let odd = 0..space.leaves[leaf].1.odd.len();
        steps.extend(odd.map(|number| (leaf, space.step(leaf, &mut dice).1, Choice::Odd(number))));
    }
    let mut planned: Vec<Transition> =
        steps.iter().enumerate().map(|(number, step)| space.transition(number, &[*step], &mut dice)).collect();
    while planned.len() < count {
        let number = planned.len();
        if number.is_multiple_of(2) {
            let step = space.step(*dice.pick(&usable), &mut dice);
            planned.push(space.transition(number, &[step], &mut dice));
            continue;
        }
        for _ in 0..PAIR_TRIES {
            let pair = [*dice.pick(&usable), *dice.pick(&usable)];
            let steps = pair.map(|leaf| space.step(leaf, &mut dice));
            let transition = space.transition(number, &steps, &mut dice);
            // What the API server refuses was asked before; here both are to be admitted.
            let mut admitted = pair[0] != pair[1];
            for spec in [&transition.from, &transition.to] {
                admitted = admitted && world.apply(("t-0", "asked"), spec, &json!({}), true).await?.is_ok();
            }
            if admitted {
                planned.push(transition);
                break;
            }
        }
        ensure!(planned.len() > number, "no two leaves go together");
    }
    Ok(planned)
}

async fn run(world: &World, transition: &Transition) -> Result<Outcome> {
    let Transition { number, from, to, hurried, .. } = transition;
    let namespace = format!("t-{}", number % NAMESPACES);
    let (changed, fresh) = (format!("x{number}-s"), format!("x{number}-f"));
    let (changed, fresh) = ((namespace.as_str(), changed.as_str()), (namespace.as_str(), fresh.as_str()));
    let outcome = compare(world, changed, fresh, (from, to), *hurried).await;
    if outcome.is_ok() {
        world.delete(changed).await?;
        world.delete(fresh).await?;
    }
    outcome
}

async fn compare(
    world: &World,
    changed: (&str, &str),
    fresh: (&str, &str),
    (from, to): (&Value, &Value),
    hurried: bool,
) -> Result<Outcome> {
    // An odd value may be refused as the first spec, too; then there is nothing to change.
    if world.apply(changed, from, &json!({}), false).await?.is_err() {
        return Ok(Outcome::Refused);
    }
    if !hurried {
        settled(world, changed, None).await.context("the first spec")?;
    }
    let before = end(&world.client, changed).await?;
    // The request makes both train with the second spec's means, even where its model is there already.
    let asked = json!({"recmesh.dev/retrain-at": "second"});
    if let Err(said) = world.apply(fresh, to, &asked, false).await? {
        let again = world.apply(changed, to, &asked, false).await?;
        ensure!(again.is_err(), "the API server refuses it of a fresh one only: {said}");
        if !hurried {
            let after = end(&world.client, changed).await?;
            ensure!(after == before, "what was refused changed what runs: {}", difference(&after, &before));
        }
        return Ok(Outcome::Refused);
    }
    ensure!(world.apply(changed, to, &asked, false).await?.is_ok(), "the API server refuses it as a change only");
    let both = [changed, fresh];
    let began = Instant::now();
    loop {
        for who in both {
            settled(world, who, Some("second")).await?;
        }
        let (now, should) = (end(&world.client, changed).await?, end(&world.client, fresh).await?);
        let stalls =
            should.conditions.get("Stalled").is_some_and(|said| UNWORKABLE.iter().any(|reason| said.ends_with(reason)));
        let problem = if stalls {
            runs_on(&now, &should, (!hurried).then_some(&before))
        } else if chooses_what_serves(to) {
            (now != should).then(|| difference(&now, &should))
        } else {
            keeps_what_served(&now, &should, (!hurried).then_some(&before))
        };
        match problem {
            None => return Ok(if stalls { Outcome::Stalled } else { Outcome::AsFresh }),
            Some(problem) if began.elapsed() > PATIENCE => bail!("{problem}"),
            Some(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A spec by which what served before goes on serving, since nothing can be or is to be decided: suspended, pinned to what is not
/// there, or with a store that does not answer.
fn chooses_what_serves(spec: &Value) -> bool {
    let says = |value: &Value| *value == true;
    !says(&spec["suspend"])
        && !says(&spec["training"]["suspend"])
        && spec["model"]["revision"].is_null()
        && spec["store"].is_null()
}

/// What a spec that cannot be worked with must leave.
fn runs_on(now: &End, should: &End, before: Option<&End>) -> Option<String> {
    let stalled = |end: &End| end.conditions.get("Stalled").cloned();
    if stalled(now) != stalled(should) {
        return Some(format!("Stalled is {:?}, and of a fresh one {:?}", stalled(now), stalled(should)));
    }
    let before = before?;
    let pods =
        |end: &End| end.children.iter().find(|(name, _)| name.starts_with("Deployment")).map(|(_, what)| what.clone());
    let same = now.serves == before.serves && pods(now) == pods(before);
    (!same).then(|| format!("what runs changed: {}", difference(now, before)))
}

/// What a spec that does not choose what serves must lead to: the fresh one's children, and what served before.
fn keeps_what_served(now: &End, should: &End, before: Option<&End>) -> Option<String> {
    for (name, what) in should.children.iter().filter(|(name, _)| *name != "Job") {
        if now.children.get(name) != Some(what) {
            return Some(format!("{name}: {}", difference(now, should)));
        }
    }
    for kind in ["Suspended", "Stalled"] {
        let (is, expected) = (now.conditions.get(kind), should.conditions.get(kind));
        if is != expected {
            return Some(format!("{kind} is {is:?}, and of a fresh one {expected:?}"));
        }
    }
    let before = before?;
    (now.serves != before.serves && before.serves != Value::Null)
        .then(|| format!("{} serves, and before {}", now.serves, before.serves))
}

/// Waits until the operator has done what it can for the present spec, and for the request if there is one.
pub async fn settled(world: &World, who: (&str, &str), asked: Option<&str>) -> Result<()> {
    let began = Instant::now();
    loop {
        let object = world.get(who).await?;
        if is_settled(&object, asked) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "it does not settle: {}", object["status"]);
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_settled(object: &Value, asked: Option<&str>) -> bool {
    let (spec, status, meta) = (&object["spec"], &object["status"], &object["metadata"]);
    if object.is_null() || status["observedGeneration"] != meta["generation"] {
        return false;
    }
    if asked.is_some_and(|asked| meta["annotations"]["recmesh.dev/retrain-at"] != asked) {
        return false;
    }
    let condition = |kind: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.clone().find(|condition| condition["type"] == kind && condition["status"] == "True").cloned()
    };
    let trains = spec["suspend"] != true && spec["training"]["suspend"] != true && spec["store"].is_null();
    let stalled = condition("Stalled").and_then(|condition| condition["reason"].as_str().map(str::to_owned));
    stalled.is_some_and(|reason| UNWORKABLE.contains(&reason.as_str()))
        || !trains
        || (condition("Trained").is_some() && asked.is_none_or(|asked| status["lastHandledRetrainAt"] == asked))
}
