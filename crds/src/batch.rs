//! Lists for all users, written to a bucket of the user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NameRef;

/// Lists for all users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Cron expression of five fields: minute, hour, day of the month, month, day of the week.
    /// Absent: lists are written whenever another model is served. Example: "0 5 * * *".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub schedule: Option<String>,
    /// Time zone of the schedule, by its IANA name. Absent: Etc/UTC. Example: Europe/Berlin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: Option<String>,
    /// Items for each user, 1 to 10000. Default: 20.
    // Not `n`, as in requests: YAML 1.1, which kubectl reads, takes that for false.
    #[serde(default = "default_items_per_user")]
    #[schemars(range(min = 1, max = 10_000))]
    pub items_per_user: u32,
    /// Where the lists are written: one Parquet file for each batch, with the columns user, rank,
    /// item, score and revision, named `<name>-<time>-<revision>.parquet`. It appears when it is
    /// complete.
    pub destination: BatchDestination,
}

/// A bucket that lists are written to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchDestination {
    /// URL of the bucket (s3://, gs://, az://) with an optional path. Example: s3://shop/lists.
    #[schemars(length(max = 1024))]
    pub url: String,
    /// Secret in this namespace with the credentials of the bucket, which must allow writing; keys
    /// as in data.source.secretRef. Absent: the pod's own identity (training.serviceAccountName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

fn default_items_per_user() -> u32 {
    20
}
