//! Faulty watches, which deliver events late, twice, out of order or not at all, and operators that
//! start with a stale list. The operator must create and delete only what the actual objects
//! require, and the final state must equal that of an operator without faults.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    operator_process::{OperatorProcess, proxy_kubeconfig},
    proxy::{ObservedWrite, Proxy, WatchMangler},
    wait,
};
use hyper::body::Bytes;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    fake_cluster::{FakeCluster, recommenders},
    final_state::{FinalState, difference},
    rng::Rng,
    settled::settled_state,
    values::base,
};

/// Number of pairs of operators that run concurrently.
const PAIRS: usize = 4;
/// Maximum number of user actions in a scenario, without the last one, which determines the served
/// model.
const ACTIONS_MAX: usize = 4;
/// Maximum delay between two actions, and before an event, in milliseconds.
const DELAY_MAX_MS: usize = 400;
/// Longer than any scenario, so that an operator reconciles only because of a watch event or its
/// own requeue.
const RESYNC_SECONDS: u32 = 600;
const NAME: &str = "movies";

/// User action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Changes parameters to values that were not used before.
    Change,
    Retrain,
    Scale(usize),
    /// Pins the revision that is served at the start of the scenario.
    Pin,
    Suspend,
    Resume,
    /// Sets `deletionPolicy: Delete`.
    DeletePolicy,
    /// Sets `deletionPolicy: Retain`.
    RetainPolicy,
    /// Deletes the Recommender and creates it again, with another UID.
    Recreate,
}

/// Fault of lists and watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Each event may be dropped, duplicated, delayed, or followed by an old one.
    MangledEvents,
    NoEvents,
    /// The operator is killed. Its first list is from before the scenario, and its watches deliver
    /// mangled events.
    StaleFirstList,
    /// The operator is killed. All its lists are from before the scenario.
    StaleLists,
    /// The operator is killed while events are mangled.
    KilledWithMangledEvents,
}

const ACTIONS: [Action; 11] = [
    Action::Change,
    Action::Change,
    Action::Retrain,
    Action::Scale(0),
    Action::Scale(2),
    Action::Pin,
    Action::Suspend,
    Action::Resume,
    Action::DeletePolicy,
    Action::RetainPolicy,
    Action::Recreate,
];
const FAULTS: [Fault; 5] =
    [Fault::MangledEvents, Fault::NoEvents, Fault::StaleFirstList, Fault::StaleLists, Fault::KilledWithMangledEvents];

/// Scenario that is generated from a seed.
struct Scenario {
    seed: u64,
    actions: Vec<Action>,
    fault: Fault,
    /// Index of the action before which the fault starts.
    fault_index: usize,
}

impl Scenario {
    fn generate(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let actions: Vec<Action> = (0..=rng.below(ACTIONS_MAX)).map(|_| *rng.pick(&ACTIONS)).collect();
        Self { seed, fault: *rng.pick(&FAULTS), fault_index: rng.below(actions.len()), actions }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {:?}, with {:?} before action {}",
            self.seed,
            self.actions,
            self.fault,
            self.fault_index + 1
        )
    }
}

/// Operator with its proxy and the namespace that it watches.
struct Instance {
    namespace: String,
    proxy: Proxy,
    operator: OperatorProcess,
}

impl Instance {
    async fn start(cluster: &FakeCluster, namespace: String) -> Result<Self> {
        cluster.create_namespace(&namespace).await?;
        let proxy = Proxy::start(cluster.client.clone()).await?;
        let mut arguments = cluster.operator_arguments();
        arguments.push(format!("--watch-namespaces={namespace}"));
        arguments.push(format!("--resync-seconds={RESYNC_SECONDS}"));
        let operator = OperatorProcess::start_with(&namespace, &proxy_kubeconfig(proxy.address), arguments)?;
        Ok(Self { namespace, proxy, operator })
    }

    /// Returns namespace and name of the Recommender.
    fn recommender(&self) -> (&str, &str) {
        (&self.namespace, NAME)
    }

    fn kill_and_restart(&self) -> Result<()> {
        (self.operator.kill_fn())();
        self.operator.restart()
    }

    async fn patch(&self, cluster: &FakeCluster, patch: &Value) -> Result<()> {
        let api = recommenders(&cluster.client, Some(&self.namespace));
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop).map_err(Into::into)
    }

    /// Performs an action. `number` is unique, so that no action requests a state that exists
    /// already.
    async fn perform(&self, cluster: &FakeCluster, action: Action, number: u64, pin: &Value) -> Result<()> {
        let retrain_at = number.to_string();
        let patch = match action {
            Action::Change => json!({"spec": {"training": {"seed": number}}}),
            Action::Retrain => json!({"metadata": {"annotations": {"recmesh.dev/retrain-at": retrain_at}}}),
            Action::Scale(replicas) => json!({"spec": {"serving": {"replicas": replicas}}}),
            Action::Pin => json!({"spec": {"model": {"revision": pin}}}),
            Action::Suspend => json!({"spec": {"suspend": true}}),
            Action::Resume => json!({"spec": {"suspend": false}}),
            Action::DeletePolicy => json!({"spec": {"deletionPolicy": "Delete"}}),
            Action::RetainPolicy => json!({"spec": {"deletionPolicy": "Retain"}}),
            Action::Recreate => {
                let api = recommenders(&cluster.client, Some(&self.namespace));
                let old = api.get(NAME).await?;
                cluster.delete(self.recommender()).await?;
                if api.get_opt(NAME).await?.is_some() {
                    // The finalizer is removed only by an operator that observes the deletion.
                    self.proxy.pass_through().await?;
                }
                wait::until_async("the Recommender is deleted", async || {
                    ensure!(api.get_opt(NAME).await?.is_none(), "it exists");
                    Ok(())
                })
                .await?;
                let spec = old.data["spec"].clone();
                let annotations = json!({"recmesh.dev/retrain-at": retrain_at});
                let applied = cluster.apply(self.recommender(), &spec, &annotations, false).await?;
                ensure!(applied.is_ok(), "the API server rejected the new Recommender");
                return Ok(());
            }
        };
        self.patch(cluster, &patch).await
    }

    /// Performs the last action of every scenario, after which the spec alone determines the served
    /// model.
    async fn finish(&self, cluster: &FakeCluster, number: u64) -> Result<()> {
        let annotations = json!({"recmesh.dev/retrain-at": number.to_string()});
        let spec = json!({"suspend": false, "model": null});
        self.patch(cluster, &json!({"metadata": {"annotations": annotations}, "spec": spec})).await
    }

    /// Returns the state after the operator has handled the current spec and the current retrain
    /// request.
    async fn settled_state(&self, cluster: &FakeCluster) -> Result<FinalState> {
        let now = recommenders(&cluster.client, Some(&self.namespace)).get(NAME).await?;
        let retrain_at = now.metadata.annotations.unwrap_or_default().remove("recmesh.dev/retrain-at");
        // A suspended Recommender handles no request.
        let trains = now.data["spec"]["suspend"] != true;
        settled_state(cluster, &self.proxy, self.recommender(), retrain_at.as_deref().filter(|_| trains)).await
    }
}

/// Runs this many scenarios.
pub async fn run_scenarios(cluster: &FakeCluster, count: u64, seed: u64) -> Result<()> {
    let began = Instant::now();
    let pairs = (0..PAIRS).map(|pair| run_pair(cluster, pair, (seed..seed + count).skip(pair).step_by(PAIRS)));
    let results: Vec<Statistics> = futures::future::try_join_all(pairs).await?;
    let sum = |of: fn(&Statistics) -> usize| results.iter().map(of).sum::<usize>();
    let failures: Vec<&String> = results.iter().flat_map(|result| &result.failures).collect();
    println!(
        "| scenarios | actions | mangled events | creations and deletions | unexpected ones | different final states | seconds |\n\
         |---|---|---|---|---|---|---|\n| {count} | {} | {} | {} | {} | {} | {:.0} |",
        sum(|result| result.actions),
        sum(|result| result.mangled_events),
        sum(|result| result.writes),
        sum(|result| result.unexpected_writes),
        failures.len() - sum(|result| result.unexpected_writes),
        began.elapsed().as_secs_f64()
    );
    ensure!(failures.is_empty(), "{}", failures.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

#[derive(Default)]
struct Statistics {
    actions: usize,
    mangled_events: usize,
    writes: usize,
    unexpected_writes: usize,
    failures: Vec<String>,
}

async fn run_pair(cluster: &FakeCluster, pair: usize, seeds: impl Iterator<Item = u64>) -> Result<Statistics> {
    let control = Instance::start(cluster, format!("control-{pair}")).await?;
    let faulty = Instance::start(cluster, format!("faulty-{pair}")).await?;
    let mut total = Statistics::default();
    for scenario in seeds.map(Scenario::generate) {
        let result = run(cluster, &control, &faulty, &scenario).await;
        match result.with_context(|| scenario.to_string()) {
            Ok(result) => {
                total.actions += scenario.actions.len();
                total.mangled_events += result.mangled_events;
                total.writes += result.writes;
                total.unexpected_writes += result.failures.len();
                total.failures.extend(result.failures.into_iter().map(|failure| format!("{scenario}: {failure}")));
            }
            Err(error) => {
                let log = std::fs::read_to_string(faulty.operator.log_path()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                total.failures.push(format!("{error:#}\nlast lines of the operator log: {tail:?}"));
                break; // The next scenario needs both Recommenders in the same state.
            }
        }
    }
    Ok(total)
}

async fn run(cluster: &FakeCluster, control: &Instance, faulty: &Instance, scenario: &Scenario) -> Result<Statistics> {
    let unique_number = |action: usize| scenario.seed * 16 + action as u64;
    let last = unique_number(scenario.actions.len());
    for instance in [control, faulty] {
        if recommenders(&cluster.client, Some(&instance.namespace)).get_opt(NAME).await?.is_none() {
            let applied = cluster.apply(instance.recommender(), &base(), &json!({}), false).await?;
            ensure!(applied.is_ok(), "the API server rejected the base spec");
        }
        instance.settled_state(cluster).await?;
        instance.proxy.take_observed_writes();
    }
    let api = recommenders(&cluster.client, Some(&control.namespace));
    let pin = api.get(NAME).await?.data["status"]["model"]["revision"].clone();

    // The control operator handles each action completely before the next one.
    for (index, action) in scenario.actions.iter().enumerate() {
        control.perform(cluster, *action, unique_number(index), &pin).await?;
        control.settled_state(cluster).await?;
    }
    control.finish(cluster, last).await?;
    let expected = control.settled_state(cluster).await?;

    let mut rng = Rng::new(scenario.seed.wrapping_mul(31));
    let mangled_events = Arc::new(AtomicUsize::new(0));
    faulty.proxy.record_list(&cluster.client, &faulty.namespace).await?;
    for (index, action) in scenario.actions.iter().enumerate() {
        if index == scenario.fault_index {
            let counter = Arc::clone(&mangled_events);
            let count = move || {
                let _ = counter.fetch_add(1, Ordering::Relaxed);
            };
            match scenario.fault {
                Fault::MangledEvents | Fault::KilledWithMangledEvents => {
                    faulty.proxy.mangle_watches(event_mangler(scenario.seed, count));
                }
                Fault::NoEvents => faulty.proxy.mangle_watches(Box::new(move |_, _| {
                    count();
                    Vec::new()
                })),
                Fault::StaleFirstList => {
                    faulty.proxy.mangle_watches(event_mangler(scenario.seed, count));
                    faulty.proxy.serve_stale_list_once(faulty.proxy.recorded_lists() - 1);
                    faulty.kill_and_restart()?;
                }
                Fault::StaleLists => {
                    faulty.proxy.serve_stale_list(faulty.proxy.recorded_lists() - 1);
                    faulty.kill_and_restart()?;
                }
            }
        }
        faulty.perform(cluster, *action, unique_number(index), &pin).await?;
        tokio::time::sleep(Duration::from_millis(rng.below(DELAY_MAX_MS) as u64)).await;
        if index == scenario.fault_index && scenario.fault == Fault::KilledWithMangledEvents {
            faulty.kill_and_restart()?;
        }
    }
    faulty.finish(cluster, last).await?;
    tokio::time::sleep(Duration::from_millis(rng.below(DELAY_MAX_MS) as u64)).await;
    faulty.proxy.pass_through().await?;
    let actual = faulty.settled_state(cluster).await?;
    ensure!(actual == expected, "different final state: {}", difference(&actual, &expected));
    let (expected_writes, writes) = (control.proxy.take_observed_writes(), faulty.proxy.take_observed_writes());
    Ok(Statistics {
        mangled_events: mangled_events.load(Ordering::Relaxed),
        writes: writes.len(),
        failures: unexpected_writes(&expected_writes, &writes),
        ..Statistics::default()
    })
}

/// Returns a mangler that drops, duplicates or delays an event, sends an old event after it, or
/// sends it unchanged. The first event is never sent unchanged.
fn event_mangler(seed: u64, count: impl Fn() + Send + 'static) -> WatchMangler {
    let mut rng = Rng::new(seed);
    let mut past: HashMap<String, Vec<Bytes>> = HashMap::new();
    let mut is_first = true;
    Box::new(move |path, line| {
        let past = past.entry(path.to_owned()).or_default();
        let old = if past.is_empty() { line.clone() } else { rng.pick(past).clone() };
        past.push(line.clone());
        let now = |line| (Duration::ZERO, line);
        let late = Duration::from_millis(rng.below(DELAY_MAX_MS) as u64);
        let kind = rng.below(if is_first { 4 } else { 6 });
        is_first = false;
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

/// Returns creations that the control operator did not perform, repeated creations of a Job, and
/// deletions of objects that the unchanged Recommender still needed.
fn unexpected_writes(expected: &[ObservedWrite], writes: &[ObservedWrite]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // A Job is identified by its attempt, independent of its run number.
    let identity = |write: &ObservedWrite| {
        let meta = &write.object["metadata"];
        let attempt = text(&meta["labels"]["recmesh.dev/attempt"]);
        format!("{} {}", text(&write.object["kind"]), if attempt.is_empty() { text(&meta["name"]) } else { attempt })
    };
    let expected: BTreeSet<String> = expected.iter().filter(|write| write.created).map(identity).collect();
    let mut existing: BTreeMap<String, &Value> = BTreeMap::new();
    let mut unexpected = Vec::new();
    for write in writes {
        let object = identity(write);
        if write.created {
            if !expected.contains(&object) {
                unexpected.push(format!("created {object}, which the control operator did not create"));
            }
            if existing.insert(object.clone(), &write.last_read).is_some() && object.starts_with("Job") {
                unexpected.push(format!("created {object} twice"));
            }
        } else if existing.remove(&object).is_some_and(|last_read| *last_read == write.last_read) {
            unexpected.push(format!("deleted {object}, although the Recommender is unchanged since its creation"));
        }
    }
    unexpected
}
