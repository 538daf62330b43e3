//! What to load, decided from the config in force and from what is loaded. Pure.

use std::collections::BTreeSet;

use sidecar_contract::{Digest, RevisionRef, RevisionRole, ServingConfig};

/// What the decision depends on.
#[derive(Debug)]
pub struct Situation<'a> {
    pub config: &'a ServingConfig,
    /// This pod, for `loadsFirst`.
    pub pod_name: Option<&'a str>,
    /// The revision that serves.
    pub serving: Option<&'a Digest>,
    /// Revisions that are being loaded.
    pub loading: BTreeSet<Digest>,
    /// Revisions whose last load failed and whose next attempt is not due.
    pub failed: BTreeSet<Digest>,
    /// Revisions whose snapshot is in the cache.
    pub cached: BTreeSet<Digest>,
}

/// What to do next.
#[derive(Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// Revision to start loading.
    pub start: Option<&'a RevisionRef>,
    /// Loads to abort: their revisions were withdrawn or have become unnecessary.
    pub abort: Vec<Digest>,
}

impl<'a> Situation<'a> {
    /// The next step. The desired revision is loaded when this pod may load it. While nothing
    /// serves, the last good revision is loaded if the desired one cannot be, or if only the last
    /// good one is in the cache: a revision that serves at once is better than one that must be
    /// fetched first. One load runs at a time, so that two models never compete for the same
    /// memory.
    pub fn plan(&self) -> Plan<'a> {
        let abort: Vec<Digest> = self.loading.iter().filter(|digest| !self.is_wanted(digest)).cloned().collect();
        if self.loading.len() > abort.len() {
            return Plan { start: None, abort };
        }
        let desired = self.desired();
        let last_good = self.last_good();
        let is_due = |revision: &&RevisionRef| !self.failed.contains(&revision.digest);
        let is_cached = |revision: &RevisionRef| self.cached.contains(&revision.digest);
        let last_good_first = last_good.filter(is_due).filter(|last_good| {
            desired.is_none_or(|desired| !is_due(&desired) || is_cached(last_good) && !is_cached(desired))
        });
        Plan { start: last_good_first.or_else(|| desired.filter(is_due)), abort }
    }

    /// Whether a revision will be swapped in once it is loaded.
    pub fn is_wanted(&self, digest: &Digest) -> bool {
        [self.desired(), self.last_good()].into_iter().flatten().any(|revision| revision.digest == *digest)
    }

    /// The desired revision, if it does not serve yet and this pod may load it.
    fn desired(&self) -> Option<&'a RevisionRef> {
        let may_load = self.config.loads_first.is_none() || self.config.loads_first.as_deref() == self.pod_name;
        let desired = self.config.revision(RevisionRole::Desired).filter(|_| may_load)?;
        (Some(&desired.digest) != self.serving).then_some(desired)
    }

    /// The last good revision, if nothing serves.
    fn last_good(&self) -> Option<&'a RevisionRef> {
        self.config.revision(RevisionRole::LastGood).filter(|_| self.serving.is_none())
    }
}

#[cfg(test)]
mod tests;
