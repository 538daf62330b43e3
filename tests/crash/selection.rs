//! Which cases run: all, a sample that depends on a seed, or one.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::{case::KillTarget, scenarios::Scenario};

/// Runs all cases.
const EVERY_CASE: &str = "RECMESH_SOAK_EVERY_CASE";
/// Runs one case: `change/operator/7`.
const ONE_CASE: &str = "RECMESH_CRASH_CASE";
/// Selects another sample.
const SEED: &str = "RECMESH_SEED";
/// Default seed. It is fixed, so that a commit has the same cases on each day; `make soak` runs all.
const SEED_DEFAULT: u64 = 1;
/// One case in this many runs unless all cases are requested.
const SAMPLE: usize = 5;
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
    /// Reads the environment.
    pub fn from_environment() -> Result<Self> {
        if let Ok(name) = std::env::var(ONE_CASE) {
            return Ok(Self::One { name });
        }
        if std::env::var_os(EVERY_CASE).is_some() {
            return Ok(Self::Every);
        }
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().with_context(|| format!("{SEED}={text:?} is not a number"))?,
            Err(_) => SEED_DEFAULT,
        };
        Ok(Self::Sample { seed })
    }

    /// How to repeat this selection.
    pub fn describe(&self) -> String {
        match self {
            Self::Every => format!("every case ({EVERY_CASE}=1)"),
            Self::Sample { seed } => {
                let offset = seed % SAMPLE as u64;
                format!("every {SAMPLE}th write at offset {offset}; to repeat the selection: {SEED}={seed}")
            }
            Self::One { name } => format!("one case ({ONE_CASE}={name})"),
        }
    }

    /// The environment that repeats one case.
    pub fn of_case(scenario: Scenario, target: KillTarget, write: usize) -> String {
        format!("{ONE_CASE}={}{write}", case_prefix(scenario, target))
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
        let is_included = |target: KillTarget| self.includes(&case_prefix(scenario, target));
        targets.into_iter().filter(|(target, _)| is_included(*target)).collect()
    }

    /// Numbers of the writes, from 1, after which a process is killed. There are `writes` in the
    /// scenario, of which at least `certain` happen in every run of it. A sample has one of those.
    pub fn writes(&self, scenario: Scenario, target: KillTarget, writes: usize, certain: usize) -> Vec<usize> {
        match self {
            Self::Every => (1..=writes).collect(),
            Self::Sample { seed } => {
                let remainder = |count: usize| usize::try_from(seed % count.max(1) as u64).unwrap_or_default();
                let sample = (1..=writes).filter(|n| n % SAMPLE == remainder(SAMPLE));
                let always = (certain > 0).then(|| 1 + remainder(certain));
                sample.chain(always).collect::<BTreeSet<usize>>().into_iter().collect()
            }
            // The scenario may have more writes in this run than in the reference.
            Self::One { name } => {
                let number = name.strip_prefix(&case_prefix(scenario, target));
                number.and_then(|number| number.parse().ok()).filter(|number| *number > 0).into_iter().collect()
            }
        }
    }

    fn includes(&self, prefix: &str) -> bool {
        match self {
            Self::Every | Self::Sample { .. } => true,
            Self::One { name } => name.starts_with(prefix),
        }
    }
}

fn case_prefix(scenario: Scenario, target: KillTarget) -> String {
    format!("{}/{}/", scenario.name(), target.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_successive_seeds_cover_all_writes() {
        let writes = |seed| Selection::Sample { seed }.writes(Scenario::Create, KillTarget::Operator, 23, 2);
        let covered: BTreeSet<usize> = (20_000..20_000 + SAMPLE as u64).flat_map(writes).collect();
        assert_eq!(covered, (1..=23).collect());
        assert_eq!(writes(7), [2, 7, 12, 17, 22]);
        assert_eq!(writes(8), [1, 3, 8, 13, 18, 23], "the first two writes happen in every run");
    }

    #[test]
    fn one_case_is_named_by_its_scenario_target_and_write() {
        let name = Selection::of_case(Scenario::Change, KillTarget::Trainer, 7).split_once('=').unwrap().1.to_owned();
        let one = Selection::One { name };
        assert_eq!(one.scenarios(), [Scenario::Change]);
        assert_eq!(one.kill_targets(Scenario::Change).len(), 1);
        assert_eq!(one.writes(Scenario::Change, KillTarget::Trainer, 9, 3), [7]);
        assert_eq!(one.writes(Scenario::Change, KillTarget::Trainer, 6, 3), [7]);
        assert!(one.writes(Scenario::Change, KillTarget::Store, 9, 3).is_empty());
    }
}
