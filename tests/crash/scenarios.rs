//! Scenarios of the crash tests: each is one action of a user on a Recommender.

use anyhow::{Result, ensure};
use e2e::{Namespace, wait};
use serde_json::{Value, json};

/// A user action with its preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Create,
    Retrain,
    Change,
    Scale,
    Pin,
    Delete,
}

impl Scenario {
    pub const ALL: [Self; 6] = [Self::Create, Self::Retrain, Self::Change, Self::Scale, Self::Pin, Self::Delete];

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Retrain => "retrain",
            Self::Change => "change",
            Self::Scale => "scale",
            Self::Pin => "pin",
            Self::Delete => "delete",
        }
    }

    /// Brings the namespace into the initial state of the scenario.
    pub async fn prepare(self, namespace: &Namespace) -> Result<()> {
        namespace.config_map("visits", "visits.csv", &crate::data::two_groups())?;
        if self == Self::Create {
            return Ok(());
        }
        apply(namespace, 3)?;
        wait_idle(namespace).await?;
        if self == Self::Pin {
            apply(namespace, 4)?;
            wait::until("the second model is served", || {
                let status = status(namespace)?;
                ensure!(status["model"]["run"] == 2 && status["loadedReplicas"] == 1, "{status}");
                Ok(())
            })
            .await?;
            wait_idle(namespace).await?;
        }
        Ok(())
    }

    /// Performs the user action. It is performed once, even if the operator is killed.
    pub fn act(self, namespace: &Namespace) -> Result<()> {
        let patch = |patch: Value| {
            namespace.kubectl(&["patch", "recommender", "movies", "--type=merge", "-p", &patch.to_string()]).map(drop)
        };
        match self {
            Self::Create => apply(namespace, 3),
            Self::Retrain => patch(json!({"metadata": {"annotations": {"recmesh.dev/retrain-at": "now"}}})),
            Self::Change => apply(namespace, 4),
            Self::Scale => patch(json!({"spec": {"serving": {"replicas": 2}}})),
            Self::Pin => {
                let history = status(namespace)?["history"].clone();
                patch(json!({"spec": {"model": {"revision": history[1]["revision"]}}}))
            }
            Self::Delete => namespace.kubectl(&["delete", "recommender", "movies", "--wait=false"]).map(drop),
        }
    }

    /// Returns an error until the action has taken effect, in a run without faults.
    pub fn is_done(self, namespace: &Namespace) -> Result<()> {
        let all: Value = serde_json::from_str(&namespace.kubectl(&["get", "recommenders", "-o", "json"])?)?;
        let object = &all["items"][0];
        if self == Self::Delete {
            ensure!(object.is_null(), "the Recommender still exists");
            for kind in ["deployment", "configmap", "pod", "job"] {
                ensure!(namespace.list(kind, "recmesh.dev/recommender")?.is_empty(), "a {kind} remains");
            }
            return Ok(());
        }
        let status = &object["status"];
        ensure!(status["observedGeneration"] == object["metadata"]["generation"], "{status}");
        let is = |kind: &str| {
            status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
        };
        ensure!(is("Ready") && is("ModelLoaded") && !is("Reconciling"), "{status}");
        match self {
            Self::Retrain | Self::Change => {
                ensure!(status["lastRun"]["number"] == 2 && status["lastRun"]["outcome"] == "Trained", "{status}");
                ensure!(self == Self::Retrain || status["model"]["run"] == 2, "{status}");
            }
            Self::Scale => ensure!(status["loadedReplicas"] == 2, "{status}"),
            Self::Pin => ensure!(is("RolledBack") && status["model"]["run"] == 1, "{status}"),
            Self::Create | Self::Delete => {}
        }
        Ok(())
    }
}

/// Waits until the model is served and all Jobs have succeeded. A model is served before its Job
/// reports success, and an action before that would replace the Job.
async fn wait_idle(namespace: &Namespace) -> Result<()> {
    namespace.wait_ready("movies").await?;
    wait::until("all Jobs have succeeded", || {
        let jobs = namespace.list("job", "recmesh.dev/recommender")?;
        ensure!(jobs.iter().all(|job| job["status"]["succeeded"] == 1), "a Job has not succeeded");
        Ok(())
    })
    .await
}

fn status(namespace: &Namespace) -> Result<Value> {
    Ok(namespace.get("recommender", "movies")?["status"].clone())
}

fn apply(namespace: &Namespace, factors: u32) -> Result<()> {
    let text = format!("{}  deletionPolicy: Delete\n", crate::data::recommender("movies", factors, 1));
    namespace.apply(&text).map(drop)
}
