//! Resource versions of all objects with the label of a Recommender, as watches report them. They
//! may be stale: they only state whether something has changed since a pass found nothing to do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::{ResourceExt, runtime::watcher::Event};

use crate::{names::RECOMMENDER_LABEL, received::Meta};

/// Namespace and name of a Recommender.
pub type RecommenderName = (String, String);

/// A watch: a kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Name of the kind.
    pub kind: String,
    /// Namespace; `None` for all.
    pub namespace: Option<String>,
}

/// Versions of the objects of one Recommender, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint(BTreeMap<(String, String), String>);

/// Versions of the objects of all Recommenders.
#[derive(Debug, Default)]
pub struct Versions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    watches: BTreeMap<Source, WatchState>,
    footprints: HashMap<RecommenderName, Footprint>,
}

#[derive(Debug, Default)]
struct WatchState {
    /// Whether its first list is complete.
    is_ready: bool,
    /// Objects of the list in progress.
    listed: BTreeSet<(RecommenderName, String)>,
}

impl Versions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a watch. Until its first list is complete, no footprint is known.
    pub fn add_watch(&self, source: &Source) {
        self.state().watches.insert(source.clone(), WatchState::default());
    }

    /// Applies an event of a watch. Returns the Recommenders whose objects changed.
    pub fn apply(&self, source: &Source, event: &Event<Meta>) -> Vec<RecommenderName> {
        let mut state = self.state();
        match event {
            Event::Init => state.watches.entry(source.clone()).or_default().listed.clear(),
            Event::InitApply(object) => {
                let Some(owner) = recommender_of(object) else { return Vec::new() };
                let watch = state.watches.entry(source.clone()).or_default();
                watch.listed.insert((owner.clone(), object.name_any()));
                return state.insert(source, owner, object);
            }
            Event::InitDone => return state.end_list(source),
            Event::Apply(object) => {
                return recommender_of(object).map_or_else(Vec::new, |owner| state.insert(source, owner, object));
            }
            Event::Delete(object) => {
                let Some(owner) = recommender_of(object) else { return Vec::new() };
                let key = (source.kind.clone(), object.name_any());
                let removed = state.footprints.get_mut(&owner).and_then(|footprint| footprint.0.remove(&key));
                return removed.map(|_| owner).into_iter().collect();
            }
        }
        Vec::new()
    }

    /// Versions of the objects of a Recommender; `None` while a watch has not listed them.
    pub fn footprint(&self, namespace: &str, name: &str) -> Option<Footprint> {
        let state = self.state();
        let is_known = !state.watches.is_empty() && state.watches.values().all(|watch| watch.is_ready);
        let found = || state.footprints.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default();
        is_known.then(found)
    }
}

impl State {
    fn insert(&mut self, source: &Source, owner: RecommenderName, object: &Meta) -> Vec<RecommenderName> {
        let version = object.resource_version().unwrap_or_default();
        let footprint = self.footprints.entry(owner.clone()).or_default();
        let before = footprint.0.insert((source.kind.clone(), object.name_any()), version.clone());
        // A list repeats what is known.
        if before.as_ref() == Some(&version) { Vec::new() } else { vec![owner] }
    }

    /// Removes the objects that were deleted while there was no watch.
    fn end_list(&mut self, source: &Source) -> Vec<RecommenderName> {
        let watch = self.watches.entry(source.clone()).or_default();
        watch.is_ready = true;
        let listed = std::mem::take(&mut watch.listed);
        let mut changed = Vec::new();
        for (owner, footprint) in &mut self.footprints {
            if source.namespace.as_ref().is_some_and(|namespace| *namespace != owner.0) {
                continue;
            }
            let before = footprint.0.len();
            footprint
                .0
                .retain(|(kind, name), _| *kind != source.kind || listed.contains(&(owner.clone(), name.clone())));
            if footprint.0.len() < before {
                changed.push(owner.clone());
            }
        }
        self.footprints.retain(|_, footprint| !footprint.0.is_empty());
        changed
    }
}

/// The Recommender that an object is labelled with.
fn recommender_of(object: &Meta) -> Option<RecommenderName> {
    Some((object.namespace()?, object.labels().get(RECOMMENDER_LABEL)?.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: &str) -> Meta {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": name, "namespace": "shop", "resourceVersion": version,
                "labels": {"recmesh.dev/recommender": "movies"},
            },
        }))
        .unwrap()
    }

    fn movies() -> RecommenderName {
        ("shop".to_owned(), "movies".to_owned())
    }

    fn source(kind: &str) -> Source {
        Source { kind: kind.to_owned(), namespace: None }
    }

    #[test]
    fn a_footprint_is_known_after_all_watches_have_listed() {
        let versions = Versions::default();
        assert_eq!(versions.footprint("shop", "movies"), None, "without watches");
        let (services, jobs) = (source("Service"), source("Job"));
        for source in [&services, &jobs] {
            versions.add_watch(source);
        }
        versions.apply(&services, &Event::Init);
        assert_eq!(versions.apply(&services, &Event::InitApply(object("a", "1"))), [movies()]);
        versions.apply(&services, &Event::InitDone);
        assert_eq!(versions.footprint("shop", "movies"), None, "Jobs are not listed");
        versions.apply(&jobs, &Event::InitDone);
        let known = versions.footprint("shop", "movies").unwrap();
        assert_ne!(known, Footprint::default());
        assert_eq!(versions.footprint("shop", "other"), Some(Footprint::default()));
        assert_eq!(versions.apply(&services, &Event::Apply(object("a", "1"))), [], "nothing has changed");
        assert_eq!(versions.footprint("shop", "movies"), Some(known.clone()));
        assert_eq!(versions.apply(&services, &Event::Apply(object("a", "2"))), [movies()]);
        assert_ne!(versions.footprint("shop", "movies"), Some(known));
    }

    #[test]
    fn objects_that_were_deleted_without_an_event_are_found_by_the_next_list() {
        let versions = Versions::default();
        let services = source("Service");
        versions.add_watch(&services);
        versions.apply(&services, &Event::InitDone);
        for name in ["a", "b"] {
            assert_eq!(versions.apply(&services, &Event::Apply(object(name, "1"))), [movies()]);
        }
        versions.apply(&services, &Event::Init);
        assert_eq!(versions.apply(&services, &Event::InitApply(object("a", "1"))), []);
        assert_eq!(versions.apply(&services, &Event::InitDone), [movies()]);
        assert_eq!(versions.apply(&services, &Event::Delete(object("a", "1"))), [movies()]);
        assert_eq!(versions.footprint("shop", "movies"), Some(Footprint::default()));
    }
}
