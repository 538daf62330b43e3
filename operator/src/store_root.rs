//! The root of the embedded store's credentials: a Secret that the operator makes once. Never the chart: rendering a chart
//! must give the same objects twice.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{
    error::Error,
    names::{MANAGER, ROOT_SECRET},
};

/// Key of the root key in the Secret.
pub const ROOT_KEY: &str = "root-key";
/// Key of the installation id in the Secret.
pub const INSTALLATION_ID: &str = "installation-id";
/// Bytes of a root key.
const ROOT_KEY_BYTES: usize = 32;
/// Bytes of an installation id, before hex.
const INSTALLATION_ID_BYTES: usize = 8;

/// Root key and installation id.
#[derive(Clone)]
pub struct StoreRoot {
    /// Every secret is derived from it.
    pub key: Vec<u8>,
    /// First part of every key in the store.
    pub installation_id: String,
}

impl std::fmt::Debug for StoreRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreRoot").field("installation_id", &self.installation_id).finish_non_exhaustive()
    }
}

/// Reads the root, or makes it. Of two operators at once, one makes it and both read the same.
///
/// # Errors
/// The API server, no random numbers, or a Secret without what it should hold.
pub async fn ensure(client: &Client, namespace: &str) -> Result<StoreRoot, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = format!("cannot read or make Secret {namespace}/{ROOT_SECRET}");
    if let Some(found) = secrets.get_opt(ROOT_SECRET).await.map_err(Error::api(action.clone()))? {
        return read(&found);
    }
    let fresh = fresh()?;
    match secrets.create(&PostParams::default(), &fresh).await {
        Ok(made) => {
            tracing::info!(secret = ROOT_SECRET, "made the root of the store's credentials");
            read(&made)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            read(&secrets.get(ROOT_SECRET).await.map_err(Error::api(action))?)
        }
        Err(error) => Err(Error::api(action)(error)),
    }
}

fn fresh() -> Result<Secret, Error> {
    let unusable = |_| Error::RootSecret { name: ROOT_SECRET, problem: "the system gives no random numbers" };
    let (mut key, mut id) = ([0; ROOT_KEY_BYTES], [0; INSTALLATION_ID_BYTES]);
    getrandom::fill(&mut key).map_err(unusable)?;
    getrandom::fill(&mut id).map_err(unusable)?;
    let labels = [("app.kubernetes.io/part-of", "recmesh"), ("app.kubernetes.io/managed-by", MANAGER)];
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(ROOT_SECRET.to_owned()),
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(BTreeMap::from([
            (ROOT_KEY.to_owned(), ByteString(hex::encode(key).into_bytes())),
            (INSTALLATION_ID.to_owned(), ByteString(hex::encode(id).into_bytes())),
        ])),
        ..Secret::default()
    })
}

fn read(secret: &Secret) -> Result<StoreRoot, Error> {
    let problem = |problem| Error::RootSecret { name: ROOT_SECRET, problem };
    let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
    let key =
        value(ROOT_KEY).filter(|key| key.len() >= ROOT_KEY_BYTES).ok_or(problem("no root-key of 32 bytes or more"))?;
    let id = value(INSTALLATION_ID).and_then(|id| String::from_utf8(id).ok()).filter(|id| !id.is_empty());
    Ok(StoreRoot { key, installation_id: id.ok_or(problem("no installation-id"))? })
}
