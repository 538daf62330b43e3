//! Which cases run: all, a sample that depends on a seed, or one.

use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::{case::KillTarget, scenarios::Scenario};

/// Runs all cases.
const EVERY_CASE: &str = "RECMESH_SOAK_EVERY_CASE";
/// Runs one case: `change/operator/7`.
const ONE_CASE: &str = "RECMESH_CRASH_CASE";
/// Selects another sample.
const SEED: &str = "RECMESH_SEED";
/// One case in this many runs unless all cases are requested.
const SAMPLE: u64 = 5;
/// Number of concurrent cases.
const CONCURRENCY: usize = 3;

/// Selection of cases.
pub enum Selection {
    Every,
    /// One case in [`SAMPLE`]; the remainder of the seed determines which.
    Sample {
        seed: u64,
    },
    One {
        name: String,
    },
}

impl Selection {
    /// Reads the environment. The default seed is the day, so that every case runs once in
    /// [`SAMPLE`] days.
    pub fn from_environment() -> Result<Self> {
        if let Ok(name) = std::env::var(ONE_CASE) {
            return Ok(Self::One { name });
        }
        if std::env::var_os(EVERY_CASE).is_some() {
            return Ok(Self::Every);
        }
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().with_context(|| format!("{SEED}={text:?} is not a number"))?,
            Err(_) => SystemTime::UNIX_EPOCH.elapsed()?.as_secs() / 86_400,
        };
        Ok(Self::Sample { seed })
    }

    /// How to repeat this selection.
    pub fn describe(&self) -> String {
        match self {
            Self::Every => format!("every case ({EVERY_CASE}=1)"),
            Self::Sample { seed } => {
                format!("one case in {SAMPLE} at offset {}; to repeat the selection: {SEED}={seed}", seed % SAMPLE)
            }
            Self::One { name } => format!("one case ({ONE_CASE}={name})"),
        }
    }

    /// The environment that repeats one case.
    pub fn of_case(scenario: Scenario, target: KillTarget, write: usize) -> String {
        format!("{ONE_CASE}={}", case_name(scenario, target, write))
    }

    /// Scenarios. Those that train come first; a sample has no others.
    pub fn scenarios(&self) -> Vec<Scenario> {
        let all = match self {
            Self::Every | Self::One { .. } => &Scenario::ALL[..],
            Self::Sample { .. } => &Scenario::ALL[..3],
        };
        all.iter().copied().filter(|scenario| self.includes(&format!("{}/", scenario.name()))).collect()
    }

    /// Processes that are killed in a scenario, each with its number of concurrent cases.
    pub fn kill_targets(&self, scenario: Scenario) -> Vec<(KillTarget, usize)> {
        const OPERATOR: (KillTarget, usize) = (KillTarget::Operator, CONCURRENCY);
        const STORE: (KillTarget, usize) = (KillTarget::Store, 1);
        let targets = match scenario {
            // A killed trainer's run is retried under the next run number. `make test` kills the
            // operator only; `make soak` kills each of the three.
            _ if matches!(self, Self::Sample { .. }) => vec![OPERATOR],
            Scenario::Create | Scenario::Retrain | Scenario::Change => {
                vec![OPERATOR, (KillTarget::Trainer, CONCURRENCY), STORE]
            }
            _ => vec![OPERATOR, STORE],
        };
        let is_included = |target: KillTarget| self.includes(&format!("{}/{}/", scenario.name(), target.name()));
        targets.into_iter().filter(|(target, _)| is_included(*target)).collect()
    }

    /// Numbers of the writes, from 1, after which a process is killed. There are `writes` in the
    /// scenario, of which at least `certain` happen in every run of it. The first number is one of
    /// those.
    pub fn writes(&self, scenario: Scenario, target: KillTarget, writes: usize, certain: usize) -> Vec<usize> {
        match self {
            Self::Every => (1..=writes).collect(),
            Self::Sample { seed } => {
                let first = 1 + seed % SAMPLE.min(certain.max(1) as u64);
                let numbers = (1..).zip(1_u64..).take(writes);
                numbers.filter(|(_, n)| *n >= first && (n - first) % SAMPLE == 0).map(|(n, _)| n).collect()
            }
            Self::One { name } => (1..=writes).filter(|n| *name == case_name(scenario, target, *n)).collect(),
        }
    }

    fn includes(&self, prefix: &str) -> bool {
        match self {
            Self::Every | Self::Sample { .. } => true,
            Self::One { name } => name.starts_with(prefix),
        }
    }
}

fn case_name(scenario: Scenario, target: KillTarget, write: usize) -> String {
    format!("{}/{}/{write}", scenario.name(), target.name())
}
