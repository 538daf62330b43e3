//! One case: a process is killed right after a chosen write of the operator, and the final state
//! must equal that of the scenario without a crash.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Cluster, Namespace, commands::Commands, install::SYSTEM_NAMESPACE, operator_process::OperatorProcess, proxy::Proxy,
    wait,
};
use serde_json::Value;

use crate::{
    NAME, RESYNC_SECONDS, Reference, empty_store,
    scenarios::Scenario,
    state::{difference, exists, ignore_run_number, running_jobs, state},
};

/// Selects pods that have not ended.
const LIVE: &str = "--field-selector=status.phase!=Succeeded,status.phase!=Failed";

/// Process that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillTarget {
    Operator,
    Trainer,
    Store,
}

impl KillTarget {
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Trainer => "trainer",
            Self::Store => "store",
        }
    }
}

/// Result of a case with the expected final state.
pub struct Recovery {
    /// Whether the process was killed at the chosen write; otherwise after the last write, because
    /// the scenario finished with fewer writes.
    pub at_write: bool,
    /// Number of processes that were killed. There may be no trainer.
    pub killed: usize,
    /// Time from the kill to the final state.
    pub duration: Duration,
}

/// Runs a case. `write` counts from 1.
pub async fn run(
    cluster: &Cluster,
    scenario: Scenario,
    target: KillTarget,
    write: usize,
    reference: &Reference,
) -> Result<Recovery> {
    let namespace = Namespace::new(cluster, &format!("crash-{}-{}-{write}", scenario.name(), target.name()))?;
    let proxy = Proxy::start(cluster.client().await?).await?;
    let operator = OperatorProcess::start(cluster, &namespace.name, proxy.address, RESYNC_SECONDS)?;
    empty_store(&namespace).await?;
    scenario.prepare(&namespace).await?;
    let killed = Arc::new(AtomicUsize::new(0));
    let kill = kill_fn(target, &operator, &namespace);
    let counter = Arc::clone(&killed);
    proxy.arm(write, Box::new(move || counter.store(kill(), Ordering::Relaxed)));
    scenario.act(&namespace)?;
    let case = Case { namespace: &namespace, proxy: &proxy, target, expected: &reference.final_state };
    let recovery = tokio::select! {
        Err(error) = keep_running(&operator) => Err(error),
        recovery = case.recovery() => recovery,
    };
    let (at_write, duration) = recovery.with_context(|| {
        let log = std::fs::read_to_string(operator.log_path()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(3).collect();
        format!("last lines of the operator log: {tail:?}")
    })?;
    Ok(Recovery { at_write, killed: killed.load(Ordering::Relaxed), duration })
}

struct Case<'a> {
    namespace: &'a Namespace,
    proxy: &'a Proxy,
    target: KillTarget,
    expected: &'a Value,
}

impl Case<'_> {
    /// Waits for the kill and for the final state after it. Returns whether the process was killed
    /// at the chosen write, and the time to the final state.
    async fn recovery(&self) -> Result<(bool, Duration)> {
        wait::until_async("the process is killed or the scenario finishes", async || {
            if self.proxy.has_fired() { Ok(()) } else { self.check_final().await }
        })
        .await?;
        let at_write = !self.proxy.fire();
        wait::until("the process is killed", || {
            ensure!(self.proxy.has_fired(), "it is being killed");
            Ok(())
        })
        .await?;
        let killed_at = Instant::now();
        wait::until_async("the final state is reached", async || self.check_final().await).await?;
        Ok((at_write, killed_at.elapsed()))
    }

    /// Returns an error unless the state is the expected one, and a reconcile does not change it.
    async fn check_final(&self) -> Result<()> {
        self.check_state()?;
        if exists(self.namespace)? {
            self.proxy.wait_reconciled(&self.namespace.name, NAME).await?;
            self.check_state()?;
        }
        Ok(())
    }

    fn check_state(&self) -> Result<()> {
        let running = running_jobs(&self.namespace.cluster.commands, &self.namespace.name)?;
        ensure!(running.is_empty(), "running Jobs: {running:?}");
        let comparable = |state| if self.target == KillTarget::Trainer { ignore_run_number(state) } else { state };
        let (actual, expected) = (comparable(state(self.namespace)?), comparable(self.expected.clone()));
        let differences = || (difference(&actual, &expected), difference(&expected, &actual));
        ensure!(actual == expected, "final state:\n{}\nexpected:\n{}", differences().0, differences().1);
        Ok(())
    }
}

/// Restarts the operator whenever it was killed. Returns only an error.
async fn keep_running(operator: &OperatorProcess) -> Result<()> {
    loop {
        operator.restart()?;
        tokio::time::sleep(wait::POLL_INTERVAL).await;
    }
}

/// Returns a function that kills the target and returns the number of killed processes.
fn kill_fn(
    target: KillTarget,
    operator: &OperatorProcess,
    namespace: &Namespace,
) -> Box<dyn Fn() -> usize + Send + Sync> {
    let commands = namespace.cluster.commands.clone();
    let namespace = namespace.name.clone();
    let kill_operator = operator.kill_fn();
    match target {
        KillTarget::Operator => Box::new(move || usize::from(kill_operator())),
        KillTarget::Trainer => Box::new(move || kill_trainer(&commands, &namespace)),
        KillTarget::Store => Box::new(move || kill_pods(&commands, SYSTEM_NAMESPACE, "store")),
    }
}

/// Kills the trainer, if a Job is running. Its pod is created shortly after the Job.
fn kill_trainer(commands: &Commands, namespace: &str) -> usize {
    let began = Instant::now();
    let is_running = || running_jobs(commands, namespace).is_ok_and(|running| !running.is_empty());
    loop {
        let killed = kill_pods(commands, namespace, "trainer");
        if killed > 0 || !is_running() || began.elapsed() > wait::TIMEOUT {
            return killed;
        }
        std::thread::sleep(wait::POLL_INTERVAL);
    }
}

/// Kills the pods of a component as `kill -9` does, and returns their number.
fn kill_pods(commands: &Commands, namespace: &str, component: &str) -> usize {
    let selector = format!("app.kubernetes.io/component={component}");
    let options = ["--grace-period=0", "--force", "--wait=false"];
    let delete = ["-n", namespace, "delete", "pod", "-l", &selector, LIVE];
    let output = commands.kubectl(&[&delete[..], &options].concat()).unwrap_or_default();
    output.lines().filter(|line| line.starts_with("pod ")).count()
}
