//! Records notices as Events. Only Events with equal texts are merged, into one with a count: the
//! recorder of kube merges all Events with the same reason, and shows the text of the first. IO.

use std::{collections::HashMap, sync::Mutex};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{names::MANAGER, notice::Notice};

/// Maximum length of the note of an Event, in bytes (the limit of the API is 1 KiB).
const NOTE_BYTES_MAX: usize = 1000;
/// How long an Event may be continued by equal ones. The API server deletes Events after an hour by
/// default.
const SERIES_PAUSE_MAX: SignedDuration = SignedDuration::from_mins(30);

/// Recorder of Events.
pub struct Recorder {
    client: Client,
    /// Name of the reporting pod.
    instance: String,
    /// The last Event with each text.
    recent: Mutex<HashMap<(String, Notice), Recorded>>,
}

/// An Event that equal ones continue.
#[derive(Clone, Debug)]
struct Recorded {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Recorder {
    /// Creates a recorder that reports as the pod `instance`.
    pub fn new(client: Client, instance: impl Into<String>) -> Self {
        Self { client, instance: instance.into(), recent: Mutex::default() }
    }

    /// Records a notice about an object, in its namespace.
    ///
    /// # Errors
    /// Fails if the API request fails.
    pub async fn record(&self, about: &ObjectReference, notice: &Notice) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let key = (about.uid.clone().unwrap_or_default(), notice.clone());
        let before = self.continued(&key, now);
        let api: Api<Event> = Api::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or("default"));
        if let Some(Recorded { name, count, .. }) = before {
            let count = count.saturating_add(1);
            let patch = json!({"series": EventSeries { count, last_observed_time: MicroTime(now) }});
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => {
                    self.remember(key, Recorded { name, count, last: now });
                    return Ok(());
                }
                // It expired.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.event(about, notice, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.remember(key, Recorded { name, count: 1, last: now });
        Ok(())
    }

    /// The Event that an equal one continues. Forgets those that are too old.
    fn continued(&self, key: &(String, Notice), now: Timestamp) -> Option<Recorded> {
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.retain(|_, recorded| now.duration_since(recorded.last) < SERIES_PAUSE_MAX);
        recent.get(key).cloned()
    }

    fn remember(&self, key: (String, Notice), recorded: Recorded) {
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key, recorded);
    }

    fn event(&self, about: &ObjectReference, notice: &Notice, now: Timestamp) -> Event {
        let mut note = notice.text.clone();
        note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
        let name = format!("{}.{:x}", about.name.as_deref().unwrap_or(MANAGER), now.as_nanosecond());
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: about.namespace.clone(), ..ObjectMeta::default() },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(note),
            reason: Some(notice.reason.clone()),
            regarding: Some(about.clone()),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if notice.is_warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}
