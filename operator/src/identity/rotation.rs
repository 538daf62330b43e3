//! The steps of a rotation of the root. Each step waits for the one before to have reached all
//! pods, so that at any time each sidecar has the anchor of each certificate that is in use.
//!
//! ```text
//! Stable ─requested─► Prepared ─published─► Published ─confirmed─► Switched ─expired─► Stable
//! anchors:  old       old, new              old, new               old, new            new
//! signs:    old       old                   old                    new                 new
//! ```
//! A pod confirms that it has the anchors of the step on its connections to serving pods, which
//! report it (`confirmation`). The new root signs when all pods have confirmed, and not before
//! [`CONFIRM_SECONDS`]; an annotation that names the step passes over pods that have not.
//!
//! Until the new root signs, no certificate depends on it: a rotation to a root that is not wanted
//! any more is withdrawn. A CA that its issuer renews below the same root replaces the one before at
//! any step.

use serde::{Deserialize, Serialize};

use super::leaf::LIFE_SECONDS_MAX;

/// How long both anchors are published at least before the new root signs. The kubelet refreshes projected
/// volumes every 60 to 90 s, and the sidecar reads its files every 10 s; the rest is for nodes that
/// are slow or restart.
pub const CONFIRM_SECONDS: i64 = 600;
/// How long a replica may use a Secret that it has read. After it, the replica signs nothing.
pub const READ_AGE_SECONDS_MAX: i64 = 120;

/// Step of a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub enum Step {
    /// There is one root.
    #[default]
    Stable,
    /// A new root exists. The bundle may lack it.
    Prepared,
    /// The bundle has both roots.
    Published {
        /// Second since 1970 since when.
        since: i64,
    },
    /// The new root signs. Certificates of the old one may be in use.
    #[serde(rename_all = "camelCase")]
    Switched {
        /// Second since 1970 after which no certificate of the old root is valid.
        drop_after: i64,
    },
}

/// Which root is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one that a rotation leads to; without a rotation, the one that signs.
    Planned,
    /// The one that signs.
    Current,
    /// Another one.
    Other,
}

/// What a rotation does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Use the renewed CA of a root that is known.
    Renew,
    /// Make a new root, or take that of the issuer.
    Prepare,
    /// Forget the new root, which has signed nothing.
    Withdraw,
    /// Record that the bundle has both roots.
    Confirm,
    /// Sign with the new root.
    Switch,
    /// Remove the old root.
    Drop,
}

/// The transition that is due at `now`. `is_published`: the bundle in the API server has all
/// anchors of the step. `is_confirmed`: all pods have them, or are passed over.
pub fn due(step: Step, wanted: Wanted, is_published: bool, is_confirmed: bool, now: i64) -> Option<Transition> {
    match (step, wanted) {
        (Step::Stable, Wanted::Other) => Some(Transition::Prepare),
        (Step::Stable, Wanted::Planned | Wanted::Current) => None,
        (Step::Prepared | Step::Published { .. }, Wanted::Current | Wanted::Other) => Some(Transition::Withdraw),
        (Step::Prepared, Wanted::Planned) => is_published.then_some(Transition::Confirm),
        // A bundle that was changed meanwhile must be repaired first.
        (Step::Published { since }, Wanted::Planned) => {
            (is_published && is_confirmed && now >= since + CONFIRM_SECONDS).then_some(Transition::Switch)
        }
        // Certificates of both roots are in use. Another root is prepared after it.
        (Step::Switched { drop_after }, _) => (now >= drop_after).then_some(Transition::Drop),
    }
}

/// Value of the annotation that passes over pods that have not confirmed the anchors: the step and
/// the request of the rotation, so that it has no effect on a later one. `None` where nothing is
/// confirmed.
pub fn pass_over(step: Step, request: Option<&str>) -> Option<String> {
    match step {
        Step::Published { .. } => Some(format!("published/{}", request.unwrap_or_default())),
        Step::Stable | Step::Prepared | Step::Switched { .. } => None,
    }
}

/// When the old root can be removed if the new one signs from `now` on: another replica may sign
/// with the old one until it reads the Secret again.
pub fn drop_after(now: i64) -> i64 {
    now + READ_AGE_SECONDS_MAX + LIFE_SECONDS_MAX
}
