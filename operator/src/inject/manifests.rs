//! Finds the pods and pod templates in manifests, and writes the manifests with their sidecars.

use serde_json::Value;

use super::{Injection, at, inject};

/// Maximum size of a file of manifests, in bytes; a larger one is more likely not YAML.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// Manifests with sidecars. A document that gets one is written as JSON, which YAML includes: text
/// such as `yes` is quoted there, and kubectl does not take it for a boolean. Other documents stay
/// as they are, with their comments.
///
/// # Errors
/// Text that is not YAML, or a pod that asks for a sidecar and cannot have one.
pub fn inject_all(text: &str, injection: &Injection) -> Result<String, String> {
    let mut written = String::new();
    for (index, document) in documents(text).into_iter().enumerate() {
        let number = index + 1;
        let injected = inject_document(&document, injection).map_err(|error| format!("document {number}: {error}"))?;
        if index > 0 {
            written.push_str("---\n");
        }
        written.push_str(injected.as_deref().unwrap_or(&document));
    }
    Ok(written)
}

/// The documents of a text, which lines that begin with three hyphens separate.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let after_marker =
            line.strip_prefix("---").filter(|rest| rest.starts_with(char::is_whitespace) || rest.is_empty());
        let line = if let Some(rest) = after_marker {
            // The marker of the first document is optional.
            if documents.len() > 1 || documents.iter().any(|document| !document.trim().is_empty()) {
                documents.push(String::new());
            }
            rest.trim_start()
        } else {
            line
        };
        if let Some(document) = documents.last_mut() {
            document.push_str(line);
        }
    }
    documents
}

/// A document with sidecars; `None` if it gets none.
fn inject_document(text: &str, injection: &Injection) -> Result<Option<String>, String> {
    let mut document: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    document.apply_merge().map_err(|error| error.to_string())?;
    let mut object = serde_json::to_value(document).map_err(|error| error.to_string())?;
    if !inject_object(&mut object, injection)? {
        return Ok(None);
    }
    serde_json::to_string_pretty(&object).map(|json| Some(json + "\n")).map_err(|error| error.to_string())
}

/// Adds sidecars to the pods of one object; returns whether there are any.
fn inject_object(object: &mut Value, injection: &Injection) -> Result<bool, String> {
    let kind = at(object, &["kind"]).as_str().unwrap_or_default().to_owned();
    if kind == "List" {
        let items = object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten();
        let injected = items.map(|item| inject_object(item, injection)).collect::<Result<Vec<bool>, String>>()?;
        return Ok(injected.contains(&true));
    }
    let Some(pointer) = pod_template(&kind) else { return Ok(false) };
    let name = at(object, &["metadata", "name"]).as_str().unwrap_or("without a name").to_owned();
    let Some(pod) = object.pointer_mut(pointer) else { return Ok(false) };
    inject(pod, injection).map_err(|error| format!("{kind} {name}: {error}"))
}

/// Where an object of a kind has its pod or pod template.
fn pod_template(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            Some("/spec/template")
        }
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn injection() -> Injection {
        Injection {
            image: "sidecar:1".to_owned(),
            image_pull_policy: "Always".to_owned(),
            signer: None,
            fixed_user_ids: false,
            resources: json!({}),
            local_memory: "256Mi".to_owned(),
            cache_size: "32Gi".to_owned(),
        }
    }

    const TEMPLATE: &str =
        "{metadata: {labels: {recmesh.dev/inject: films}}, spec: {containers: [{name: app, image: a}]}}";

    /// Number of sidecars in manifests.
    fn sidecars(text: &str) -> usize {
        inject_all(text, &injection()).unwrap().matches("\"name\": \"recmesh-proxy\"").count()
    }

    #[test]
    fn every_kind_with_a_pod_template_gets_a_sidecar() {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"] {
            assert_eq!(sidecars(&format!("{{kind: {kind}, spec: {{template: {TEMPLATE}}}}}")), 1, "{kind}");
        }
        let cron_job = format!("{{kind: CronJob, spec: {{jobTemplate: {{spec: {{template: {TEMPLATE}}}}}}}}}");
        assert_eq!(sidecars(&cron_job), 1);
        let pod = format!("{{kind: Pod, {}", TEMPLATE.trim_start_matches('{'));
        assert_eq!(sidecars(&format!("{{kind: List, items: [{pod}, {pod}]}}")), 2);
        assert_eq!(sidecars(&format!("---\n{pod}\n---\n---\n{cron_job}\n")), 2);
    }

    #[test]
    fn other_documents_stay_as_they_are_and_text_stays_text() {
        let text = "# A comment.\napiVersion: v1\ndata:\n  a: 'yes' # text\nkind: ConfigMap\n---\nkind: Service\n";
        assert_eq!(inject_all(text, &injection()).unwrap(), text);
        assert_eq!(inject_all("", &injection()).unwrap(), "");
        let job = TEMPLATE.replace("image: a", "image: a, args: ['yes', '0644', 'null']");
        let injected =
            inject_all(&format!("{text}--- # night\n{{kind: Job, spec: {{template: {job}}}}}"), &injection());
        let injected = injected.unwrap();
        let json = injected.strip_prefix(text).unwrap().strip_prefix("---\n").unwrap();
        let object: Value = serde_json::from_str(json).unwrap();
        assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["args"], json!(["yes", "0644", "null"]));
        let merged = "base: &base {image: a, name: app}\nkind: Pod\nmetadata: {labels: {recmesh.dev/inject: films}}\nspec: {containers: [{<<: *base, tty: true}]}";
        let object: Value = serde_json::from_str(&inject_all(merged, &injection()).unwrap()).unwrap();
        assert_eq!(object["spec"]["containers"][0]["image"], "a");
    }

    #[test]
    fn errors_name_the_document_and_the_object() {
        let windows = TEMPLATE.replace("spec: {", "spec: {os: {name: windows}, ");
        let text = format!(
            "---\nkind: A\n---\nkind: B\n---\n{{kind: Job, metadata: {{name: night}}, spec: {{template: {windows}}}}}\n"
        );
        let error = inject_all(&text, &injection()).unwrap_err();
        assert!(error.starts_with("document 3: Job night: a pod for Windows"), "{error}");
        assert!(inject_all("a: [", &injection()).unwrap_err().starts_with("document 1: "));
    }
}
