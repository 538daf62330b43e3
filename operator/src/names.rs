//! Names, labels and annotations of everything that the operator makes. A new string here is a design change: selectors
//! are immutable, and other tools rely on the rest.

use serde_json::{Value, json};

/// Field manager of every apply.
pub const MANAGER: &str = "recmesh-operator";
/// Label that ties a child to its Recommender.
pub const RECOMMENDER_LABEL: &str = "recmesh.dev/recommender";
/// Label of a Job: the hash of what it tries.
pub const ATTEMPT_LABEL: &str = "recmesh.dev/attempt";
/// Label of a Job: the hash of what was wanted when it was made.
pub const WANTED_LABEL: &str = "recmesh.dev/wanted";
/// Label of a Job: its run's number.
pub const RUN_LABEL: &str = "recmesh.dev/run";
/// Annotation of serving pods that makes kubelet refresh the mounted config.
pub const CONFIG_HASH_ANNOTATION: &str = "recmesh.dev/config-hash";
/// Annotation of a Recommender that asks for a new run; any new value asks once.
pub const RETRAIN_AT_ANNOTATION: &str = "recmesh.dev/retrain-at";
/// Annotation of a Recommender that names the revision to promote where `promotion` is Manual.
pub const PROMOTE_ANNOTATION: &str = "recmesh.dev/promote";
/// Annotation of a Deployment: the hash of its pod template, as the operator wrote it.
pub const TEMPLATE_HASH_ANNOTATION: &str = "recmesh.dev/template-hash";
/// Finalizer of a Recommender whose part of the store goes with it.
pub const FINALIZER: &str = "recmesh.dev/delete-data";
/// Secret in the operator's namespace with the store's root key.
pub const ROOT_SECRET: &str = "recmesh-store-root";
/// Lease of the leader.
pub const LEASE: &str = "recmesh-operator";

/// Which pods of a Recommender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// They answer.
    Serving,
    /// They train.
    Trainer,
}

impl Component {
    /// Value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Trainer => "trainer",
        }
    }
}

/// Names of a Recommender's children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Name of the Recommender: also of its Deployment and Service.
    pub recommender: String,
}

impl Names {
    /// Names below this Recommender's.
    pub fn new(recommender: impl Into<String>) -> Self {
        Self { recommender: recommender.into() }
    }

    fn with(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.recommender)
    }

    /// ConfigMap with the serving config.
    pub fn serving_config(&self) -> String {
        self.with("serving")
    }

    /// Headless Service over the pods.
    pub fn pods(&self) -> String {
        self.with("pods")
    }

    /// Secret with the trainer's store credential.
    pub fn train_secret(&self) -> String {
        self.with("store-train")
    }

    /// Secret with the serving pods' store credential.
    pub fn serve_secret(&self) -> String {
        self.with("store-serve")
    }

    /// Job of a run.
    pub fn job(&self, run: u32) -> String {
        self.with(&format!("train-{run}"))
    }
}

/// Labels of a child; selectors use [`selector`] only.
pub fn labels(recommender: &str, component: Component) -> Value {
    json!({
        "app.kubernetes.io/name": "recommender",
        "app.kubernetes.io/instance": recommender,
        "app.kubernetes.io/component": component.as_str(),
        "app.kubernetes.io/part-of": "recmesh",
        "app.kubernetes.io/managed-by": MANAGER,
        RECOMMENDER_LABEL: recommender,
    })
}

/// What selects a component's objects in a list.
pub fn component_label(component: Component) -> String {
    format!("app.kubernetes.io/component={}", component.as_str())
}

/// Immutable selector of a component's pods.
pub fn selector(recommender: &str, component: Component) -> Value {
    json!({RECOMMENDER_LABEL: recommender, "app.kubernetes.io/component": component.as_str()})
}

/// [`selector`] of the serving pods as a string, for the `scale` subresource.
pub fn selector_text(recommender: &str) -> String {
    format!("{RECOMMENDER_LABEL}={recommender},{}", component_label(Component::Serving))
}
