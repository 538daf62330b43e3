//! The root of the embedded store's credentials: a Secret that the operator creates once. The chart
//! cannot create it, because rendering a chart must be deterministic.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use crate::{
    error::Error,
    installation::StoreRoot,
    names::{MANAGER, ROOT_SECRET},
};

/// Secret key that holds the root key.
pub const ROOT_KEY: &str = "root-key";
/// Secret key that holds the installation id.
pub const INSTALLATION_ID: &str = "installation-id";
/// Length of a root key in bytes.
const ROOT_KEY_BYTES: usize = 32;
/// Length of an installation id in bytes, before hex encoding.
const INSTALLATION_ID_BYTES: usize = 8;

/// Reads the root Secret, or creates it. If two operators start concurrently, one creates it and
/// both read the same Secret.
///
/// # Errors
/// Fails if an API request fails, if the system provides no random numbers, or if the Secret is
/// incomplete.
pub async fn ensure(client: &Client, namespace: &str) -> Result<StoreRoot, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let action = format!("cannot read or create Secret {namespace}/{ROOT_SECRET}");
    if let Some(found) = secrets.get_opt(ROOT_SECRET).await.map_err(Error::api(action.clone()))? {
        return read(&found);
    }
    let secret = generate()?;
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(created) => {
            tracing::info!(secret = ROOT_SECRET, "created the root Secret of the store");
            read(&created)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            read(&secrets.get(ROOT_SECRET).await.map_err(Error::api(action))?)
        }
        Err(error) => Err(Error::api(action)(error)),
    }
}

fn generate() -> Result<Secret, Error> {
    let unusable = |_| Error::RootSecret { name: ROOT_SECRET, problem: "the system provides no random numbers" };
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
    let key = value(ROOT_KEY)
        .filter(|key| key.len() >= ROOT_KEY_BYTES)
        .ok_or(problem("root-key is missing or shorter than 32 bytes"))?;
    let id = value(INSTALLATION_ID).and_then(|id| String::from_utf8(id).ok()).filter(|id| !id.is_empty());
    Ok(StoreRoot { key, installation_id: id.ok_or(problem("installation-id is missing or empty"))? })
}
