//! What the operator knows of each Recommender, as series. Facts are kept, and series made of them at a scrape: a Recommender
//! that goes takes its series along, and a reconcile costs no look at those of the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use recommender_crds::{RecommenderStatus, RunOutcome};

/// Namespace and name.
pub type Key = (String, String);

/// Statuses by Recommender; clones share them.
#[derive(Clone, Debug)]
pub struct Resources {
    known: Arc<Mutex<BTreeMap<Key, Facts>>>,
    /// Never holds a series: it describes the metrics to the registry.
    described: Arc<Gauges>,
}

/// What is told of one Recommender.
#[derive(Clone, Debug)]
struct Facts {
    /// 1 if the condition holds, 0 if not, -1 if unknown.
    conditions: Vec<(String, i64)>,
    /// Revision and algorithm.
    model: Option<(String, String)>,
    /// Seconds since 1970.
    checked_at: Option<i64>,
    outcome: Option<RunOutcome>,
    failures: u32,
    next_run_at: Option<i64>,
    /// Pods that exist, are ready, have loaded the model.
    replicas: [(&'static str, i32); 3],
}

impl Facts {
    fn of(status: &RecommenderStatus, before: Option<&Self>) -> Self {
        let conditions = status.conditions.iter().map(|condition| {
            let value = match condition.status.as_str() {
                "True" => 1,
                "False" => 0,
                _ => -1,
            };
            (condition.type_.clone(), value)
        });
        let model = status.model.as_ref().map(|model| (model.revision.clone(), model.algorithm.clone()));
        let trained_at = status.model.as_ref().and_then(|model| model.trained_at.as_ref());
        let found_unchanged = status.last_run.as_ref().filter(|run| run.outcome == RunOutcome::Unchanged);
        let unchanged_at = found_unchanged.and_then(|run| run.finished_at.as_ref());
        // A failed run after one that found nothing new does not make the model older.
        let as_before = before.filter(|before| before.model == model).and_then(|before| before.checked_at);
        Self {
            conditions: conditions.collect(),
            checked_at: trained_at.map(|trained| {
                let seconds = [Some(trained), unchanged_at].into_iter().flatten().map(|time| time.0.as_second());
                seconds.chain(as_before).max().unwrap_or_default()
            }),
            model,
            outcome: status.last_run.as_ref().map(|run| run.outcome),
            failures: status.failures,
            next_run_at: status.next_run_time.as_ref().map(|time| time.0.as_second()),
            replicas: [
                ("existing", status.replicas),
                ("ready", status.ready_replicas),
                ("loaded", status.loaded_replicas),
            ],
        }
    }
}

impl Resources {
    /// Knows none yet.
    ///
    /// # Errors
    /// Only if a name here is no name of a metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { known: Arc::default(), described: Arc::new(Gauges::new()?) })
    }

    /// Takes a status.
    pub fn set(&self, namespace: &str, name: &str, status: &RecommenderStatus) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        let facts = Facts::of(status, known.get(&key));
        known.insert(key, facts);
    }

    /// Forgets the others.
    pub fn keep_only(&self, keep: &dyn Fn(&Key) -> bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| keep(key));
    }
}

impl Collector for Resources {
    fn desc(&self) -> Vec<&Desc> {
        self.described.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // The same names were fine before.
        let Ok(gauges) = Gauges::new() else { return Vec::new() };
        for ((namespace, name), facts) in self.known.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            gauges.fill(namespace, name, facts);
        }
        // A family without series is no text.
        gauges.all().into_iter().flat_map(Collector::collect).filter(|family| !family.get_metric().is_empty()).collect()
    }
}

#[derive(Debug)]
struct Gauges {
    conditions: IntGaugeVec,
    info: IntGaugeVec,
    checked_at: IntGaugeVec,
    last_run: IntGaugeVec,
    failures: IntGaugeVec,
    next_run_at: IntGaugeVec,
    replicas: IntGaugeVec,
}

impl Gauges {
    fn new() -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, more: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), &[&["namespace", "name"], more].concat())
        };
        Ok(Self {
            conditions: gauge(
                "recommender_resource_condition",
                "1 if the condition holds, 0 if not, -1 if unknown.",
                &["type"],
            )?,
            info: gauge(
                "recommender_resource_info",
                "The revision that a Recommender should serve.",
                &["revision", "algorithm"],
            )?,
            checked_at: gauge(
                "recommender_resource_model_checked_timestamp_seconds",
                "When the model that should serve was trained, or a later run found its data unchanged.",
                &[],
            )?,
            last_run: gauge(
                "recommender_resource_last_run_info",
                "How the last run stands: Running, Trained, Unchanged or Failed.",
                &["outcome"],
            )?,
            failures: gauge(
                "recommender_resource_run_failures",
                "Runs of the present attempt that failed one after another.",
                &[],
            )?,
            next_run_at: gauge(
                "recommender_resource_next_run_timestamp_seconds",
                "When the next run is due, if a time is known.",
                &[],
            )?,
            replicas: gauge(
                "recommender_resource_replicas",
                "Serving pods by state: existing, ready, loaded.",
                &["state"],
            )?,
        })
    }

    fn all(&self) -> [&IntGaugeVec; 7] {
        let Self { conditions, info, checked_at, last_run, failures, next_run_at, replicas } = self;
        [conditions, info, checked_at, last_run, failures, next_run_at, replicas]
    }

    fn fill(&self, namespace: &str, name: &str, facts: &Facts) {
        for (kind, value) in &facts.conditions {
            self.conditions.with_label_values(&[namespace, name, kind]).set(*value);
        }
        if let Some((revision, algorithm)) = &facts.model {
            self.info.with_label_values(&[namespace, name, revision, algorithm]).set(1);
        }
        if let Some(at) = facts.checked_at {
            self.checked_at.with_label_values(&[namespace, name]).set(at);
        }
        if let Some(outcome) = facts.outcome {
            self.last_run.with_label_values(&[namespace, name, outcome_word(outcome)]).set(1);
        }
        self.failures.with_label_values(&[namespace, name]).set(i64::from(facts.failures));
        if let Some(at) = facts.next_run_at {
            self.next_run_at.with_label_values(&[namespace, name]).set(at);
        }
        for (state, count) in facts.replicas {
            self.replicas.with_label_values(&[namespace, name, state]).set(i64::from(count));
        }
    }
}

fn outcome_word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Running => "Running",
        RunOutcome::Trained => "Trained",
        RunOutcome::Unchanged => "Unchanged",
        RunOutcome::Failed => "Failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(yaml: &str) -> RecommenderStatus {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    fn text(resources: &Resources) -> String {
        let registry = prometheus::Registry::new();
        registry.register(Box::new(resources.clone())).unwrap();
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn value(resources: &Resources, series: &str) -> Option<i64> {
        text(resources).lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    const TRAINED: &str = "model: {revision: aa, algorithm: als, trainedAt: '1970-01-01T00:16:40Z'}";
    const CHECKED: &str = "recommender_resource_model_checked_timestamp_seconds{name=\"movies\",namespace=\"shop\"}";

    #[test]
    fn a_status_becomes_series_and_they_go_with_their_recommender() {
        let resources = Resources::new().unwrap();
        resources.set(
            "shop",
            "movies",
            &status(&format!(
                "{TRAINED}
conditions:
- {{type: Ready, status: 'True', reason: Serving, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
- {{type: Trained, status: 'False', reason: TrainingFailed, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
- {{type: DataReady, status: Unknown, reason: DataNotChecked, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
failures: 3
readyReplicas: 2
lastRun: {{outcome: Failed}}
"
            )),
        );
        resources.set("shop", "songs", &status("failures: 1"));
        for (series, expected) in [
            ("recommender_resource_condition{name=\"movies\",namespace=\"shop\",type=\"Ready\"}", 1),
            ("recommender_resource_condition{name=\"movies\",namespace=\"shop\",type=\"Trained\"}", 0),
            ("recommender_resource_condition{name=\"movies\",namespace=\"shop\",type=\"DataReady\"}", -1),
            ("recommender_resource_info{algorithm=\"als\",name=\"movies\",namespace=\"shop\",revision=\"aa\"}", 1),
            ("recommender_resource_run_failures{name=\"movies\",namespace=\"shop\"}", 3),
            ("recommender_resource_last_run_info{name=\"movies\",namespace=\"shop\",outcome=\"Failed\"}", 1),
            ("recommender_resource_replicas{name=\"movies\",namespace=\"shop\",state=\"ready\"}", 2),
            (CHECKED, 1000),
        ] {
            assert_eq!(value(&resources, series), Some(expected), "{series} in {}", text(&resources));
        }
        resources.keep_only(&|(_, name)| name == "songs");
        assert!(!text(&resources).contains("movies"), "{}", text(&resources));
        assert!(text(&resources).contains("songs"));
    }

    #[test]
    fn a_model_is_as_fresh_as_the_last_run_that_found_nothing_new() {
        let resources = Resources::new().unwrap();
        let run = |outcome: &str| format!("lastRun: {{outcome: {outcome}, finishedAt: '1970-01-01T00:33:20Z'}}");
        resources.set("shop", "movies", &status(TRAINED));
        assert_eq!(value(&resources, CHECKED), Some(1000));
        resources.set("shop", "movies", &status(&format!("{TRAINED}\n{}", run("Unchanged"))));
        assert_eq!(value(&resources, CHECKED), Some(2000));
        // The next one fails: what was found then holds.
        resources.set("shop", "movies", &status(&format!("{TRAINED}\n{}", run("Failed"))));
        assert_eq!(value(&resources, CHECKED), Some(2000));
        // Another model, older or not, tells its own time.
        resources.set("shop", "movies", &status(&TRAINED.replace("aa", "bb")));
        assert_eq!(value(&resources, CHECKED), Some(1000));
    }
}
