//! Which finished Jobs are deleted before their time to live ends: each failed one keeps up to
//! three pods.

use crate::observed::{JobFacts, JobState};

/// Number of failed Jobs that are retained, for their logs.
const FAILED_JOBS_RETAINED: usize = 3;

/// Names of the failed Jobs that are deleted: all but the newest.
pub(super) fn stale(jobs: &[JobFacts]) -> Vec<String> {
    let mut failed: Vec<&JobFacts> = jobs.iter().filter(|job| job.state == JobState::Failed).collect();
    failed.sort_by_key(|job| std::cmp::Reverse(job.run));
    failed.into_iter().skip(FAILED_JOBS_RETAINED).filter(|job| !job.deleted).map(|job| job.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_failed_jobs_are_retained() {
        let job = |run: u32, state| JobFacts { name: format!("movies-train-{run}"), run, state, ..JobFacts::default() };
        let mut jobs = vec![job(9, JobState::Running), job(1, JobState::Succeeded)];
        jobs.extend((2..7).map(|run| job(run, JobState::Failed)));
        assert_eq!(stale(&jobs), ["movies-train-3", "movies-train-2"]);
        assert_eq!(stale(&jobs[..5]), [""; 0]);
    }
}
