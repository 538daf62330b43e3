//! The serving config in force: what was decided last, which outlives the operator, the status and the store.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use sidecar_contract::{ServingConfig, paths};

use super::controlled_by;
use crate::{context::Context, error::Error, names::Names, validate::Plan};

/// The config, if there is a readable one.
///
/// # Errors
/// The API server.
pub async fn read(context: &Context, plan: &Plan) -> Result<Option<ServingConfig>, Error> {
    let name = Names::new(&plan.name).serving_config();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &plan.namespace);
    let found = api.get_opt(&name).await.map_err(Error::api(format!("cannot read ConfigMap {name}")))?;
    let Some(map) = found.filter(|map| controlled_by(map.owner_references(), &plan.uid)) else { return Ok(None) };
    let text = map.data.as_ref().and_then(|data| data.get(paths::SERVING_CONFIG_FILE));
    Ok(text.and_then(|text| match serde_json::from_str(text) {
        Ok(config) => Some(config),
        Err(error) => {
            // Somebody wrote into it, or a newer operator did: it is decided afresh.
            tracing::warn!(namespace = plan.namespace, name, %error, "the serving config is not readable");
            None
        }
    }))
}
