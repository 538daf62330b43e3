//! Watches that bring events late, twice, out of their time or not at all, and operators that begin with an old list: what an
//! operator makes and deletes must follow from the truth, and the end must be that of an operator which was told the truth.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    operator_process::{OperatorProcess, through},
    proxy::{Deed, Proxy, Rumours},
};
use hyper::body::Bytes;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    ends::{End, difference, end},
    transitions::settled,
    values::base,
    world::{World, recommenders},
};

/// Pairs of operators that live at once.
const PAIRS: usize = 4;
/// Acts of a story, but for the last, which settles what serves.
const ACTS_MAX: usize = 4;
/// Longest pause between two acts, and before an event.
const PAUSE_MAX_MS: usize = 400;
/// Longer than any story: what an operator finds out, it finds out by the news, or because it means to look again.
const RESYNC_SECONDS: u32 = 600;
/// Longest wait for an end; it ends a hanging story and decides none.
const PATIENCE: Duration = Duration::from_mins(2);
const NAME: &str = "movies";

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Other parameters, which nobody asked for before.
    Change,
    Retrain,
    Scale(usize),
    /// Pins what serves at the beginning.
    Pin,
    Suspend,
    Resume,
    /// Its part of the store goes with it.
    DeleteAll,
    KeepAll,
    /// Deletes it and makes it again, under another identity.
    Again,
}

/// What becomes of the news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Each event may be dropped, told twice, late, or followed by an old one.
    Mixed,
    Silence,
    /// The operator is killed, and begins with a list of before the story; its watches go on from there.
    BeginsInThePast,
    /// The operator is killed, and its list stays that of before the story.
    StaysInThePast,
    /// The operator is killed in the middle of mixed news.
    Killed,
}

const ACTS: [Act; 11] = [
    Act::Change,
    Act::Change,
    Act::Retrain,
    Act::Scale(0),
    Act::Scale(2),
    Act::Pin,
    Act::Suspend,
    Act::Resume,
    Act::DeleteAll,
    Act::KeepAll,
    Act::Again,
];
const NEWS: [News; 5] = [News::Mixed, News::Silence, News::BeginsInThePast, News::StaysInThePast, News::Killed];

/// A story, as its seed has it.
struct Story {
    seed: u64,
    acts: Vec<Act>,
    news: News,
    /// The act before which the news go bad.
    at: usize,
}

impl Story {
    fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let acts: Vec<Act> = (0..=dice.below(ACTS_MAX)).map(|_| *dice.pick(&ACTS)).collect();
        Self { seed, news: *dice.pick(&NEWS), at: dice.below(acts.len()), acts }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {:?}, with {:?} before number {}", self.seed, self.acts, self.news, self.at + 1)
    }
}

/// An operator and the namespace that it looks after.
struct Side {
    namespace: String,
    proxy: Proxy,
    operator: OperatorProcess,
}

impl Side {
    async fn start(world: &World, namespace: String) -> Result<Self> {
        world.make_namespace(&namespace).await?;
        let proxy = Proxy::start(world.client.clone()).await?;
        let mut arguments = world.operator_arguments();
        arguments.push(format!("--watch-namespaces={namespace}"));
        arguments.push(format!("--resync-seconds={RESYNC_SECONDS}"));
        let operator = OperatorProcess::with(&namespace, &through(proxy.address), arguments)?;
        Ok(Self { namespace, proxy, operator })
    }

    fn who(&self) -> (&str, &str) {
        (&self.namespace, NAME)
    }

    fn begin_again(&self) -> Result<()> {
        (self.operator.killer())();
        self.operator.restart()
    }

    async fn patch(&self, world: &World, patch: &Value) -> Result<()> {
        let api = recommenders(&world.client, Some(&self.namespace));
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop).map_err(Into::into)
    }

    /// Does it; `number` is one that nothing was done under before, so that no act asks for what is there already.
    async fn act(&self, world: &World, act: Act, number: u64, pin: &Value) -> Result<()> {
        let stamp = number.to_string();
        let patch = match act {
            Act::Change => json!({"spec": {"training": {"seed": number}}}),
            Act::Retrain => json!({"metadata": {"annotations": {"recmesh.dev/retrain-at": stamp}}}),
            Act::Scale(replicas) => json!({"spec": {"serving": {"replicas": replicas}}}),
            Act::Pin => json!({"spec": {"model": {"revision": pin}}}),
            Act::Suspend => json!({"spec": {"suspend": true}}),
            Act::Resume => json!({"spec": {"suspend": false}}),
            Act::DeleteAll => json!({"spec": {"deletionPolicy": "Delete"}}),
            Act::KeepAll => json!({"spec": {"deletionPolicy": "Retain"}}),
            Act::Again => {
                let api = recommenders(&world.client, Some(&self.namespace));
                let old = api.get(NAME).await?;
                world.delete(self.who()).await?;
                if api.get_opt(NAME).await?.is_some() {
                    self.proxy.tell_the_truth(); // Its finalizer needs an operator that knows of the deletion.
                }
                let began = Instant::now();
                while let Some(now) = api.get_opt(NAME).await? {
                    ensure!(now.metadata.uid == old.metadata.uid && began.elapsed() < PATIENCE, "it does not go");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let spec = old.data["spec"].clone();
                let asked = json!({"recmesh.dev/retrain-at": stamp});
                ensure!(world.apply(self.who(), &spec, &asked, false).await?.is_ok(), "refused");
                return Ok(());
            }
        };
        self.patch(world, &patch).await
    }

    /// What every story ends with, so that what serves follows from the spec alone.
    async fn settle(&self, world: &World, number: u64) -> Result<()> {
        let annotations = json!({"recmesh.dev/retrain-at": number.to_string()});
        let spec = json!({"suspend": false, "model": null});
        self.patch(world, &json!({"metadata": {"annotations": annotations}, "spec": spec})).await
    }

    /// Waits until the operator has done what it can for the present spec and the present request.
    async fn settled(&self, world: &World) -> Result<()> {
        let now = recommenders(&world.client, Some(&self.namespace)).get(NAME).await?;
        let asked = now.metadata.annotations.unwrap_or_default().remove("recmesh.dev/retrain-at");
        // Who is suspended answers no request.
        let trains = now.data["spec"]["suspend"] != true;
        settled(world, self.who(), asked.as_deref().filter(|_| trains)).await
    }
}

/// Tells so many stories.
pub async fn stories(world: &World, count: u64, seed: u64) -> Result<()> {
    let began = Instant::now();
    let pairs = (0..PAIRS).map(|pair| told_by_one_pair(world, pair, (seed..seed + count).skip(pair).step_by(PAIRS)));
    let told: Vec<Told> = futures::future::try_join_all(pairs).await?;
    let sum = |of: fn(&Told) -> usize| told.iter().map(of).sum::<usize>();
    let failures: Vec<&String> = told.iter().flat_map(|told| &told.failures).collect();
    println!(
        "| stories | acts | events dropped, doubled, late or old | made or deleted | not by the truth | other ends | seconds |\n\
         |---|---|---|---|---|---|---|\n| {count} | {} | {} | {} | {} | {} | {:.0} |",
        sum(|told| told.acts),
        sum(|told| told.rumours),
        sum(|told| told.deeds),
        sum(|told| told.wrong),
        failures.len() - sum(|told| told.wrong),
        began.elapsed().as_secs_f64()
    );
    ensure!(failures.is_empty(), "{}", failures.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

#[derive(Default)]
struct Told {
    acts: usize,
    rumours: usize,
    deeds: usize,
    wrong: usize,
    failures: Vec<String>,
}

async fn told_by_one_pair(world: &World, pair: usize, seeds: impl Iterator<Item = u64>) -> Result<Told> {
    let calm = Side::start(world, format!("calm-{pair}")).await?;
    let storm = Side::start(world, format!("storm-{pair}")).await?;
    let mut all = Told::default();
    for story in seeds.map(Story::of) {
        let told = tell(world, &calm, &storm, &story).await;
        match told.with_context(|| story.to_string()) {
            Ok(told) => {
                all.acts += story.acts.len();
                all.rumours += told.rumours;
                all.deeds += told.deeds;
                all.wrong += told.failures.len();
                all.failures.extend(told.failures.into_iter().map(|wrong| format!("{story}: {wrong}")));
            }
            Err(error) => {
                let log = std::fs::read_to_string(storm.operator.log()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                all.failures.push(format!("{error:#}\nthe operator's last lines: {tail:?}"));
                break; // Both begin the next one at the same end, or none.
            }
        }
    }
    Ok(all)
}

async fn tell(world: &World, calm: &Side, storm: &Side, told: &Story) -> Result<Told> {
    let sides = [calm, storm];
    let numbered = |act: usize| told.seed * 16 + act as u64;
    let last = numbered(told.acts.len());
    for side in sides {
        if recommenders(&world.client, Some(&side.namespace)).get_opt(NAME).await?.is_none() {
            ensure!(world.apply(side.who(), &base(), &json!({}), false).await?.is_ok(), "the base is refused");
        }
        side.settled(world).await?;
        side.proxy.deeds();
    }
    let api = recommenders(&world.client, Some(&calm.namespace));
    let pin = api.get(NAME).await?.data["status"]["model"]["revision"].clone();

    // Who knows the truth is given the time to do all that follows from it.
    for (number, act) in told.acts.iter().enumerate() {
        calm.act(world, *act, numbered(number), &pin).await?;
        calm.settled(world).await?;
    }
    calm.settle(world, last).await?;
    calm.settled(world).await?;
    let should = side_end(world, calm).await?;

    let mut dice = Dice::new(told.seed.wrapping_mul(31));
    let rumours = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    storm.proxy.note_moment(&world.client, &storm.namespace).await?;
    for (number, act) in told.acts.iter().enumerate() {
        if number == told.at {
            let counter = std::sync::Arc::clone(&rumours);
            let count = move || {
                let _ = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            };
            match told.news {
                News::Mixed | News::Killed => storm.proxy.only_rumours(mixed(told.seed, count)),
                News::Silence => storm.proxy.only_rumours(Box::new(move |_, _| {
                    count();
                    Vec::new()
                })),
                News::BeginsInThePast => {
                    storm.proxy.only_rumours(mixed(told.seed, count));
                    storm.proxy.one_old_list(storm.proxy.moments() - 1);
                    storm.begin_again()?;
                }
                News::StaysInThePast => {
                    storm.proxy.only_old_news(storm.proxy.moments() - 1);
                    storm.begin_again()?;
                }
            }
        }
        storm.act(world, *act, numbered(number), &pin).await?;
        tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MAX_MS) as u64)).await;
        if number == told.at && told.news == News::Killed {
            storm.begin_again()?;
        }
    }
    storm.settle(world, last).await?;
    tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MAX_MS) as u64)).await;
    storm.proxy.tell_the_truth();
    let began = Instant::now();
    loop {
        storm.settled(world).await?;
        let now = side_end(world, storm).await?;
        if now == should {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "another end: {}", difference(&now, &should));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (right, deeds) = (calm.proxy.deeds(), storm.proxy.deeds());
    Ok(Told {
        rumours: rumours.load(std::sync::atomic::Ordering::Relaxed),
        deeds: deeds.len(),
        failures: wrong(&right, &deeds),
        ..Told::default()
    })
}

/// Where a side came to. Whether a generation still rolls out is left out: no pod ever starts here, so that it hangs on which
/// generations the operator has seen between, and those that it slept through it has not. Nor does it count whether a next run is planned
/// already: calm ends have both.
async fn side_end(world: &World, side: &Side) -> Result<End> {
    let mut end = end(&world.client, side.who()).await?;
    end.conditions.remove("Reconciling");
    if let Some(rest) = end.rest.as_object_mut() {
        rest.remove("runs again");
    }
    Ok(end)
}

/// Each event is dropped, told twice, told late, told with an old one after it, or told as it is.
fn mixed(seed: u64, count: impl Fn() + Send + 'static) -> Rumours {
    let mut dice = Dice::new(seed);
    let mut past: HashMap<String, Vec<Bytes>> = HashMap::new();
    Box::new(move |path, line| {
        let past = past.entry(path.to_owned()).or_default();
        let old = if past.is_empty() { line.clone() } else { dice.pick(past).clone() };
        past.push(line.clone());
        let now = |line| (Duration::ZERO, line);
        let late = Duration::from_millis(dice.below(PAUSE_MAX_MS) as u64);
        let kind = dice.below(6);
        if kind < 4 {
            count();
        }
        match kind {
            0 => Vec::new(),
            1 => vec![now(line.clone()), now(line)],
            2 => vec![(late, line)],
            3 => vec![now(line), (late, old)],
            _ => vec![now(line)],
        }
    })
}

/// What was made that the truth did not ask for, and what was deleted that it still asked for.
fn wrong(right: &[Deed], deeds: &[Deed]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // A run is what it tries, whatever its number.
    let what = |deed: &Deed| {
        let meta = &deed.object["metadata"];
        let tried = text(&meta["labels"]["recmesh.dev/attempt"]);
        format!("{} {}", text(&deed.object["kind"]), if tried.is_empty() { text(&meta["name"]) } else { tried })
    };
    let asked_for: BTreeSet<String> = right.iter().filter(|deed| deed.made).map(what).collect();
    let mut there: BTreeMap<String, &Value> = BTreeMap::new();
    let mut wrong = Vec::new();
    for deed in deeds {
        let what = what(deed);
        if deed.made {
            if !asked_for.contains(&what) {
                wrong.push(format!("made {what}, which the truth never asked for"));
            }
            if there.insert(what.clone(), &deed.on).is_some() && what.starts_with("Job") {
                wrong.push(format!("made {what} twice"));
            }
        } else if there.remove(&what).is_some_and(|on| *on == deed.on) {
            wrong.push(format!("deleted {what}, on the same truth on which it was made"));
        }
    }
    wrong
}
