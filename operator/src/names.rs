//! Names, labels and annotations of all objects that the operator creates. Changing a string here
//! is a design change: selectors are immutable, and other tools rely on the rest.

use serde_json::{Value, json};
use sidecar_contract::pods_service;

/// Field manager of all applies.
pub const MANAGER: &str = "recmesh-operator";
/// Label of a child: the name of its Recommender.
pub const RECOMMENDER_LABEL: &str = "recmesh.dev/recommender";
/// Label of a child: its component.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Label of a pod of an app: the Recommender whose sidecar it asks for.
pub const INJECT_LABEL: &str = "recmesh.dev/inject";
/// Label of a pod that has this sidecar.
pub const INJECTED_LABEL: &str = "recmesh.dev/injected";
/// Label of a pod of an app: what its sidecar does.
pub const MODE_LABEL: &str = "recmesh.dev/mode";
/// Label of a pod of an app: the namespace of the Recommender, if it is another one.
pub const NAMESPACE_LABEL: &str = "recmesh.dev/namespace";
/// Label of a pod of an app: the ServiceAccount of the serving pods, if it is not named after the
/// Recommender.
pub const SERVICE_ACCOUNT_LABEL: &str = "recmesh.dev/service-account";
/// Annotation of a pod of an app: `none` for a sidecar without a certificate.
pub const IDENTITY_ANNOTATION: &str = "recmesh.dev/identity";
/// Label of a Job: the hash of its attempt.
pub const ATTEMPT_LABEL: &str = "recmesh.dev/attempt";
/// Label of a Job: the hash of the spec that it was created for.
pub const SPEC_HASH_LABEL: &str = "recmesh.dev/spec-hash";
/// Label of a Job: the number of its run.
pub const RUN_LABEL: &str = "recmesh.dev/run";
/// Label of a short Job other than training: the id of what it makes.
pub const TASK_LABEL: &str = "recmesh.dev/task";
/// Label that the Deployment controller gives to pods.
pub const POD_TEMPLATE_HASH_LABEL: &str = "pod-template-hash";
/// Annotation of serving pods: the config hash. Writing it makes kubelet refresh the mounted
/// config.
pub const CONFIG_HASH_ANNOTATION: &str = "recmesh.dev/config-hash";
/// Annotation of a Recommender that requests a new run; each new value requests one run.
pub const RETRAIN_AT_ANNOTATION: &str = "recmesh.dev/retrain-at";
/// Annotation of a Recommender that requests a pass; each new value requests one. Other annotations
/// of users are not read.
pub const RECONCILE_AT_ANNOTATION: &str = "recmesh.dev/reconcile-at";
/// Annotation of a Recommender: the revision to promote if `promotion` is Manual.
pub const PROMOTE_ANNOTATION: &str = "recmesh.dev/promote";
/// Annotation of a Recommender that requests a refresh of the catalogue; each new value requests
/// one.
pub const REFRESH_CATALOGUE_ANNOTATION: &str = "recmesh.dev/refresh-catalogue";
/// Annotation of a Recommender: the version of the held item table to accept.
pub const ACCEPT_CATALOGUE_ANNOTATION: &str = "recmesh.dev/accept-catalogue";
/// Label of a short Job: hash of the value of the annotation that was set when it started.
pub const REQUEST_LABEL: &str = "recmesh.dev/request";
/// Annotation of a Deployment: the hash of the pod template that the operator applied.
pub const TEMPLATE_HASH_ANNOTATION: &str = "recmesh.dev/template-hash";
/// Finalizer of a Recommender whose store data is deleted with it.
pub const FINALIZER: &str = "recmesh.dev/store-cleanup";
/// Secret in the operator's namespace that holds the root key of the store.
pub const ROOT_SECRET: &str = "recmesh-store-root";
/// Secret in the operator's namespace that holds the roots of identity.
pub const IDENTITY_SECRET: &str = "recmesh-identity-root";
/// Annotation of this Secret that requests a rotation; each new value requests one.
pub const ROTATE_ANNOTATION: &str = "recmesh.dev/rotate";
/// Annotation of this Secret that passes over pods that have not confirmed the anchors: the step and
/// the request of the rotation.
pub const PASS_OVER_ANNOTATION: &str = "recmesh.dev/rotate-unconfirmed";
/// Annotation of this Secret: the pods that a rotation waits for.
pub const UNCONFIRMED_ANNOTATION: &str = "recmesh.dev/rotation-waits-for";
/// Label of the ClusterTrustBundle with the anchors, by which volumes select it.
pub const ANCHORS_LABEL: &str = "recmesh.dev/anchors";
/// Annotation of this bundle: the namespace of the operator that publishes it.
pub const INSTALLATION_ANNOTATION: &str = "recmesh.dev/installation";
/// Name of the leader election Lease.
pub const LEASE: &str = "recmesh-operator";

/// Component of a Recommender that a pod belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Pods that serve recommendations.
    Serving,
    /// Pods that train a model.
    Trainer,
    /// Pods that write lists for all users.
    Batch,
    /// Pods that make catalogues.
    Catalogue,
}

impl Component {
    /// All components.
    pub const ALL: [Self; 4] = [Self::Serving, Self::Trainer, Self::Batch, Self::Catalogue];

    /// The component with this label value.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.as_str() == label)
    }

    /// Value of the component label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Trainer => "trainer",
            Self::Batch => "batch",
            Self::Catalogue => "catalogue",
        }
    }

    /// Name of the operator's container in the pods of the component.
    pub fn container(self) -> &'static str {
        match self {
            Self::Serving => "sidecar",
            Self::Trainer => "trainer",
            Self::Batch => "batch",
            Self::Catalogue => "catalogue",
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
    /// Names of the children of this Recommender.
    pub fn new(recommender: impl Into<String>) -> Self {
        Self { recommender: recommender.into() }
    }

    fn with_suffix(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.recommender)
    }

    /// ConfigMap that holds the serving config.
    pub fn serving_config(&self) -> String {
        self.with_suffix("serving")
    }

    /// Headless Service of the ready serving pods.
    pub fn pods(&self) -> String {
        pods_service(&self.recommender)
    }

    /// Secret that holds the trainer's store credentials.
    pub fn train_secret(&self) -> String {
        self.with_suffix("store-train")
    }

    /// Secret that holds the serving pods' store credentials.
    pub fn serve_secret(&self) -> String {
        self.with_suffix("store-serve")
    }

    /// Job that writes the lists of a batch that was decided at this second since 1970.
    pub fn batch_job(&self, decided_at: i64) -> String {
        self.with_suffix(&format!("batch-{decided_at}"))
    }

    /// Job that makes a catalogue that was decided at this second since 1970.
    pub fn catalogue_job(&self, decided_at: i64) -> String {
        self.with_suffix(&format!("catalogue-{decided_at}"))
    }

    /// Job of a run.
    pub fn job(&self, run: u32) -> String {
        self.with_suffix(&format!("train-{run}"))
    }
}

/// Labels of a child. Selectors use only the labels of [`selector`].
pub fn labels(recommender: &str, component: Component) -> Value {
    json!({
        "app.kubernetes.io/name": "recommender",
        "app.kubernetes.io/instance": recommender,
        COMPONENT_LABEL: component.as_str(),
        "app.kubernetes.io/part-of": "recmesh",
        "app.kubernetes.io/managed-by": MANAGER,
        RECOMMENDER_LABEL: recommender,
    })
}

/// Label selector for the objects of a component.
pub fn component_label(component: Component) -> String {
    format!("{COMPONENT_LABEL}={}", component.as_str())
}

/// Immutable label selector for the pods of a component.
pub fn selector(recommender: &str, component: Component) -> Value {
    json!({RECOMMENDER_LABEL: recommender, COMPONENT_LABEL: component.as_str()})
}

/// [`selector`] of the serving pods as a string, for the scale subresource.
pub fn selector_text(recommender: &str) -> String {
    format!("{RECOMMENDER_LABEL}={recommender},{}", component_label(Component::Serving))
}
