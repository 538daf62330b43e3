//! Metric series of each Recommender. The latest values are stored, and a scrape builds the series
//! from them. The series of a deleted Recommender disappear. A reconcile reads one Recommender's
//! status.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use recommender_crds::{RecommenderStatus, Rows, RunOutcome, ServingMode};

use crate::decide::INTENDED_REASON;

/// Namespace and name.
pub type Key = (String, String);

/// Values by Recommender. Clones share the same map.
#[derive(Clone, Debug)]
pub struct Resources {
    values: Arc<Mutex<BTreeMap<Key, ResourceMetrics>>>,
    /// Gauges without series, from which the registry reads the descriptions.
    descriptions: Arc<Gauges>,
}

/// Values of one Recommender.
#[derive(Clone, Debug)]
struct ResourceMetrics {
    /// 1 if the condition holds, 0 if not, -1 if unknown.
    conditions: Vec<(String, i64)>,
    /// Revision and algorithm of the model.
    model: Option<(String, String)>,
    /// Second since 1970 when the data of the model was last known to be current.
    checked_at: Option<i64>,
    outcome: Option<RunOutcome>,
    failures: u32,
    next_run_at: Option<i64>,
    /// Rows of the last run that were read, kept, and dropped although the spec does not exclude
    /// them.
    rows: Option<[(&'static str, u64); 3]>,
    /// Second since 1970 when the newest lists for all users were complete, their rows, and the
    /// consecutive failures since; only for a Recommender that writes lists.
    batch: Option<(Option<i64>, u64, u32)>,
    /// Second since 1970 when the item table was last checked for the catalogue.
    catalogue_checked_at: Option<i64>,
    /// Items of the model in the catalogue: all, available, not in the table.
    catalogue_items: Option<[(&'static str, u64); 3]>,
    /// Serving pods that exist, are ready, have loaded the model.
    replicas: [(&'static str, i32); 3],
}

impl ResourceMetrics {
    fn from_status(status: &RecommenderStatus, before: Option<&Self>) -> Self {
        let conditions = status.conditions.iter().map(|condition| {
            let value = match condition.status.as_str() {
                "True" => 1,
                "False" => 0,
                _ => -1,
            };
            (condition.type_.clone(), value)
        });
        // A model of which only the popularity ranking serves is not the one that serves.
        let serving = status.model.as_ref().filter(|model| model.serving_mode == ServingMode::Personalized);
        let model = serving.map(|model| (model.revision.clone(), model.algorithm.clone()));
        let trained_at = serving.and_then(|model| model.trained_at.as_ref());
        let found_unchanged = status.last_run.as_ref().filter(|run| run.outcome == RunOutcome::Unchanged);
        let unchanged_at = found_unchanged.and_then(|run| run.finished_at.as_ref());
        // A failed run does not reset the time at which an earlier run found the data unchanged.
        let checked_before = before.filter(|before| before.model == model).and_then(|before| before.checked_at);
        Self {
            conditions: conditions.collect(),
            checked_at: trained_at.map(|trained| {
                let seconds = [Some(trained), unchanged_at].into_iter().flatten().map(|time| time.0.as_second());
                seconds.chain(checked_before).max().unwrap_or_default()
            }),
            model,
            outcome: status.last_run.as_ref().map(|run| run.outcome),
            failures: status.failures,
            rows: status.last_run.as_ref().and_then(|run| run.rows.as_ref()).filter(|rows| rows.read > 0).map(rows),
            next_run_at: status.next_run_time.as_ref().map(|time| time.0.as_second()),
            batch: status.batch.as_ref().map(|batch| {
                let written_at = batch.written_at.as_ref().map(|time| time.0.as_second());
                (written_at, batch.rows, batch.failures)
            }),
            catalogue_checked_at: status
                .catalogue
                .as_ref()
                .and_then(|catalogue| Some(catalogue.checked_at.as_ref()?.0.as_second())),
            catalogue_items: status.catalogue.as_ref().map(|catalogue| {
                [("all", catalogue.items), ("available", catalogue.available), ("missing", catalogue.missing)]
            }),
            replicas: [
                ("existing", status.replicas),
                ("ready", status.ready_replicas),
                ("loaded", status.loaded_replicas),
            ],
        }
    }
}

fn rows(rows: &Rows) -> [(&'static str, u64); 3] {
    let intended = rows.dropped.get(INTENDED_REASON).copied().unwrap_or(0);
    let dropped = rows.dropped.values().sum::<u64>().saturating_sub(intended);
    [("read", rows.read.saturating_sub(intended)), ("kept", rows.kept), ("dropped", dropped)]
}

impl Resources {
    /// Creates an empty set of values.
    ///
    /// # Errors
    /// Fails only if a metric name is invalid.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { values: Arc::default(), descriptions: Arc::new(Gauges::new()?) })
    }

    /// Stores the values of a status.
    pub fn set(&self, namespace: &str, name: &str, status: &RecommenderStatus) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        let metrics = ResourceMetrics::from_status(status, values.get(&key));
        values.insert(key, metrics);
    }

    /// Removes the values of all other Recommenders.
    pub fn retain(&self, keep: &dyn Fn(&Key) -> bool) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| keep(key));
    }
}

impl Collector for Resources {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Cannot fail: the same names were valid in `new`.
        let Ok(gauges) = Gauges::new() else { return Vec::new() };
        for ((namespace, name), metrics) in self.values.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            gauges.fill(namespace, name, metrics);
        }
        // The text encoder rejects a family without series.
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
    rows: IntGaugeVec,
    batch_written_at: IntGaugeVec,
    batch_rows: IntGaugeVec,
    batch_failures: IntGaugeVec,
    catalogue_checked_at: IntGaugeVec,
    catalogue_items: IntGaugeVec,
    replicas: IntGaugeVec,
}

impl Gauges {
    fn new() -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), &[&["namespace", "name"], labels].concat())
        };
        Ok(Self {
            conditions: gauge(
                "recommender_resource_condition",
                "1 if the condition holds, 0 if not, -1 if unknown.",
                &["type"],
            )?,
            info: gauge("recommender_resource_info", "Desired revision of a Recommender.", &["revision", "algorithm"])?,
            checked_at: gauge(
                "recommender_resource_model_checked_timestamp_seconds",
                "Time when the desired model was trained, or when a later run found its data unchanged.",
                &[],
            )?,
            last_run: gauge(
                "recommender_resource_last_run_info",
                "Outcome of the last run: Running, Trained, Unchanged or Failed.",
                &["outcome"],
            )?,
            failures: gauge(
                "recommender_resource_run_failures",
                "Consecutive failed runs of the current attempt.",
                &[],
            )?,
            next_run_at: gauge(
                "recommender_resource_next_run_timestamp_seconds",
                "Time when the next run is due, if known.",
                &[],
            )?,
            rows: gauge(
                "recommender_resource_last_run_rows",
                "Rows of the last run: read, kept, dropped. Rows of events without a weight do not count.",
                &["state"],
            )?,
            batch_written_at: gauge(
                "recommender_resource_batch_written_timestamp_seconds",
                "Time when the newest lists for all users were complete.",
                &[],
            )?,
            batch_rows: gauge("recommender_resource_batch_rows", "Rows of the newest lists for all users.", &[])?,
            batch_failures: gauge(
                "recommender_resource_batch_failures",
                "Consecutive failed batches of lists for all users.",
                &[],
            )?,
            catalogue_checked_at: gauge(
                "recommender_resource_catalogue_checked_timestamp_seconds",
                "Time when the item table was last checked for the catalogue.",
                &[],
            )?,
            catalogue_items: gauge(
                "recommender_resource_catalogue_items",
                "Items of the model by state in the newest catalogue: all, available, missing in the table.",
                &["state"],
            )?,
            replicas: gauge(
                "recommender_resource_replicas",
                "Serving pods by state: existing, ready, loaded.",
                &["state"],
            )?,
        })
    }

    fn all(&self) -> [&IntGaugeVec; 13] {
        let Self { conditions, info, checked_at, last_run, failures, next_run_at, rows, .. } = self;
        let Self {
            batch_written_at, batch_rows, batch_failures, catalogue_checked_at, catalogue_items, replicas, ..
        } = self;
        [
            conditions,
            info,
            checked_at,
            last_run,
            failures,
            next_run_at,
            rows,
            batch_written_at,
            batch_rows,
            batch_failures,
            catalogue_checked_at,
            catalogue_items,
            replicas,
        ]
    }

    fn fill(&self, namespace: &str, name: &str, metrics: &ResourceMetrics) {
        for (kind, value) in &metrics.conditions {
            self.conditions.with_label_values(&[namespace, name, kind]).set(*value);
        }
        if let Some((revision, algorithm)) = &metrics.model {
            self.info.with_label_values(&[namespace, name, revision, algorithm]).set(1);
        }
        if let Some(at) = metrics.checked_at {
            self.checked_at.with_label_values(&[namespace, name]).set(at);
        }
        if let Some(outcome) = metrics.outcome {
            self.last_run.with_label_values(&[namespace, name, outcome_label(outcome)]).set(1);
        }
        self.failures.with_label_values(&[namespace, name]).set(i64::from(metrics.failures));
        if let Some(at) = metrics.next_run_at {
            self.next_run_at.with_label_values(&[namespace, name]).set(at);
        }
        for (state, count) in metrics.rows.into_iter().flatten() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.rows.with_label_values(&[namespace, name, state]).set(count);
        }
        if let Some((written_at, rows, failures)) = metrics.batch {
            if let Some(at) = written_at {
                self.batch_written_at.with_label_values(&[namespace, name]).set(at);
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                self.batch_rows.with_label_values(&[namespace, name]).set(rows);
            }
            self.batch_failures.with_label_values(&[namespace, name]).set(failures.into());
        }
        if let Some(at) = metrics.catalogue_checked_at {
            self.catalogue_checked_at.with_label_values(&[namespace, name]).set(at);
        }
        for (state, count) in metrics.catalogue_items.into_iter().flatten() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.catalogue_items.with_label_values(&[namespace, name, state]).set(count);
        }
        for (state, count) in metrics.replicas {
            self.replicas.with_label_values(&[namespace, name, state]).set(i64::from(count));
        }
    }
}

fn outcome_label(outcome: RunOutcome) -> &'static str {
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
    fn a_status_becomes_series_that_a_deletion_removes() {
        let resources = Resources::new().unwrap();
        resources.set(
            "shop",
            "movies",
            &status(&format!(
                "{TRAINED}
conditions:
- {{type: Ready, status: 'True', reason: Serving, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
- {{type: Trained, status: 'False', reason: TrainingFailed, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
- {{type: DataReady, status: Unknown, reason: DataUnknown, message: '', lastTransitionTime: '1970-01-01T00:00:00Z'}}
failures: 3
readyReplicas: 2
batch: {{writtenAt: '1970-01-01T00:00:50Z', rows: 60, failures: 2}}
catalogue: {{checkedAt: '1970-01-01T00:00:40Z', items: 60, available: 59, missing: 2}}
lastRun: {{outcome: Failed, rows: {{read: 100, kept: 60, dropped: {{eventNotListed: 10, notANumber: 30}}}}}}
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
            ("recommender_resource_last_run_rows{name=\"movies\",namespace=\"shop\",state=\"read\"}", 90),
            ("recommender_resource_last_run_rows{name=\"movies\",namespace=\"shop\",state=\"kept\"}", 60),
            ("recommender_resource_last_run_rows{name=\"movies\",namespace=\"shop\",state=\"dropped\"}", 30),
            ("recommender_resource_replicas{name=\"movies\",namespace=\"shop\",state=\"ready\"}", 2),
            ("recommender_resource_batch_written_timestamp_seconds{name=\"movies\",namespace=\"shop\"}", 50),
            ("recommender_resource_batch_rows{name=\"movies\",namespace=\"shop\"}", 60),
            ("recommender_resource_batch_failures{name=\"movies\",namespace=\"shop\"}", 2),
            ("recommender_resource_catalogue_checked_timestamp_seconds{name=\"movies\",namespace=\"shop\"}", 40),
            ("recommender_resource_catalogue_items{name=\"movies\",namespace=\"shop\",state=\"available\"}", 59),
            (CHECKED, 1000),
        ] {
            assert_eq!(value(&resources, series), Some(expected), "{series} in {}", text(&resources));
        }
        resources.retain(&|(_, name)| name == "songs");
        assert!(!text(&resources).contains("movies"), "{}", text(&resources));
        assert!(text(&resources).contains("songs"));
    }

    #[test]
    fn an_unchanged_run_refreshes_the_checked_time() {
        let resources = Resources::new().unwrap();
        let run = |outcome: &str| format!("lastRun: {{outcome: {outcome}, finishedAt: '1970-01-01T00:33:20Z'}}");
        resources.set("shop", "movies", &status(TRAINED));
        assert_eq!(value(&resources, CHECKED), Some(1000));
        resources.set("shop", "movies", &status(&format!("{TRAINED}\n{}", run("Unchanged"))));
        assert_eq!(value(&resources, CHECKED), Some(2000));
        // A failed run does not change the time.
        resources.set("shop", "movies", &status(&format!("{TRAINED}\n{}", run("Failed"))));
        assert_eq!(value(&resources, CHECKED), Some(2000));
        // Another model has its own time, even if that is earlier.
        resources.set("shop", "movies", &status(&TRAINED.replace("aa", "bb")));
        assert_eq!(value(&resources, CHECKED), Some(1000));
    }
}
