//! The sidecar of an app in its pod template: what `recmesh-operator inject` adds. Pure.
//!
//! The MutatingAdmissionPolicy of the chart adds the same to pods. `charts/tests/injection`
//! compares both.

pub mod local;
pub mod manifests;

use serde_json::{Map, Value, json};
use sidecar_contract::{paths, ports};

use crate::{
    identity::volumes,
    names::{IDENTITY_ANNOTATION, INJECT_LABEL, INJECTED_LABEL, MODE_LABEL, NAMESPACE_LABEL, SERVICE_ACCOUNT_LABEL},
};

/// Name of the container and prefix of the volume's name.
pub const CONTAINER: &str = "recmesh-proxy";
/// The volume that is mounted where the token of the app's account would be.
const NO_TOKEN_VOLUME: &str = "recmesh-proxy-no-token";
/// The volume with the certificate.
const CERTIFICATE_VOLUME: &str = "recmesh-proxy-certificate";
/// The volume with the trust anchors.
const ANCHORS_VOLUME: &str = "recmesh-proxy-anchors";
/// Mount point of the tokens of accounts. Admission mounts one where a container mounts nothing.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Annotation: the application port on the loopback address, if the app uses the default itself.
const PORT_ANNOTATION: &str = "recmesh.dev/port";
/// Annotation: the port of probes and metrics.
const ADMIN_PORT_ANNOTATION: &str = "recmesh.dev/admin-port";
/// Annotation: memory request and limit of the container.
const MEMORY_ANNOTATION: &str = "recmesh.dev/memory";
/// Environment variable of the app's containers with the address of the sidecar.
const URL_ENV: &str = "RECMESH_URL";
/// User and group of the container.
const USER: i64 = 65532;
/// Seconds that the sidecar has to open its ports, one try a second.
const STARTUP_SECONDS: u32 = 30;

/// What does not depend on the pod.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Image of the sidecar.
    pub image: String,
    /// Its pull policy.
    pub image_pull_policy: String,
    /// Whether the user and group are set; OpenShift assigns them.
    pub fixed_user_ids: bool,
    /// Signer of the certificate; `None`: the sidecar has none.
    pub signer: Option<String>,
    /// Requests and limits.
    pub resources: Value,
    /// Memory request and limit in local mode, unless the pod states another.
    pub local_memory: String,
    /// Size limit of the volume for snapshots in local mode.
    pub cache_size: String,
}

/// What a pod asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    recommender: String,
    /// Namespace of the Recommender; `None`: that of the pod.
    namespace: Option<String>,
    port: u16,
    admin_port: u16,
    /// Whether the sidecar has a certificate where there is a signer.
    identity: bool,
    /// ServiceAccount of the serving pods; `None`: that of the Recommender's name.
    service_account: Option<String>,
    /// Memory request and limit; `None`: those of the installation.
    memory: Option<String>,
    /// Local mode.
    local: Option<Local>,
}

/// What a pod in local mode asks for.
#[derive(Debug, PartialEq, Eq)]
struct Local {
    /// Secret with the store credentials; `None`: that of the Recommender's serving pods.
    store_secret: Option<String>,
}

impl Wanted {
    /// The signer of the sidecar's certificate, if it has one.
    fn signer<'a>(&self, injection: &'a Injection) -> Option<&'a str> {
        injection.signer.as_deref().filter(|_| self.identity)
    }

    /// Requests and limits of the container.
    fn resources(&self, injection: &Injection) -> Value {
        let mut resources = injection.resources.clone();
        let default = self.local.as_ref().map(|_| &injection.local_memory);
        if let (Some(memory), Some(fields)) = (self.memory.as_ref().or(default), resources.as_object_mut()) {
            for kind in ["requests", "limits"] {
                let quantities = fields.entry(kind).or_insert_with(|| json!({}));
                if let Some(quantities) = quantities.as_object_mut() {
                    quantities.insert("memory".to_owned(), json!(memory));
                }
            }
        }
        resources
    }
}

/// Adds the sidecar to a pod, or to a pod template. Returns whether it did: a pod that does not ask
/// for it, or has it, stays as it is.
///
/// # Errors
/// A sentence: why a pod that asks for a sidecar cannot have one, and what to try.
pub fn inject(pod: &mut Value, injection: &Injection) -> Result<bool, String> {
    let Some(wanted) = wanted(pod)? else { return Ok(false) };
    let url = format!("http://127.0.0.1:{}", wanted.port);
    let labels = pod.get_mut("metadata").and_then(|metadata| metadata.get_mut("labels"));
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.insert(INJECTED_LABEL.to_owned(), json!("true"));
    }
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut).ok_or("spec: missing; expected that of a pod")?;
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_set = items(container, "env").any(|variable| at(variable, &["name"]) == URL_ENV);
        if let Some(container) = container.as_object_mut().filter(|_| !is_set) {
            add(container, "env", usize::MAX, json!({"name": URL_ENV, "value": url}));
        }
    }
    add(spec, "initContainers", 0, container(&wanted, injection));
    add(spec, "volumes", usize::MAX, json!({"name": NO_TOKEN_VOLUME, "emptyDir": {}}));
    if let Some(Local { store_secret }) = &wanted.local {
        for volume in local::volumes(&wanted.recommender, store_secret.as_deref(), &injection.cache_size) {
            add(spec, "volumes", usize::MAX, volume);
        }
    }
    if let Some(signer) = wanted.signer(injection) {
        add(spec, "volumes", usize::MAX, volumes::certificate(CERTIFICATE_VOLUME, signer));
        add(spec, "volumes", usize::MAX, volumes::anchors(ANCHORS_VOLUME, signer));
    }
    Ok(true)
}

/// Why a pod that asks for a sidecar cannot have one, and what to try; `None` if it can.
pub fn problem(pod: &Value) -> Option<String> {
    wanted(pod).err()
}

/// What the labels and annotations ask for; `None` if they ask for nothing, or it is there.
fn wanted(pod: &Value) -> Result<Option<Wanted>, String> {
    let label = |name: &str| at(pod, &["metadata", "labels", name]).as_str();
    let Some(recommender) = label(INJECT_LABEL).filter(|_| label(INJECTED_LABEL).is_none()) else { return Ok(None) };
    if label("app.kubernetes.io/part-of") == Some("recmesh") {
        return Err("a pod of Recmesh gets no sidecar; remove the label".to_owned());
    }
    if at(pod, &["spec", "hostNetwork"]) == true {
        return Err("a pod with hostNetwork gets no sidecar: its ports would be those of the node".to_owned());
    }
    if at(pod, &["spec", "os", "name"]) == "windows" {
        return Err("a pod for Windows gets no sidecar: the image is for Linux".to_owned());
    }
    let port = |annotation: &str, default: u16| {
        let value = at(pod, &["metadata", "annotations", annotation]);
        if value.is_null() { Ok(default) } else { parse_port(annotation, value) }
    };
    let (port, admin_port) = (port(PORT_ANNOTATION, ports::PROXY)?, port(ADMIN_PORT_ANNOTATION, ports::PROXY_ADMIN)?);
    if port == admin_port {
        return Err(format!(
            "annotations {PORT_ANNOTATION}, {ADMIN_PORT_ANNOTATION}: {port} twice; expected two ports"
        ));
    }
    let local = wanted_local(pod)?;
    let memory = annotation(pod, MEMORY_ANNOTATION, local::is_memory, "an amount such as 512Mi or 2Gi")?;
    let identity = at(pod, &["metadata", "annotations", IDENTITY_ANNOTATION]);
    if !identity.is_null() && identity != "none" {
        return Err(format!("annotation {IDENTITY_ANNOTATION}: {identity}; expected none, or no such annotation"));
    }
    let spec = at(pod, &["spec"]);
    let containers = || items(spec, "initContainers").chain(items(spec, "containers"));
    if containers().any(|container| at(container, &["name"]) == CONTAINER) {
        return Err(format!("a container is named {CONTAINER} already; rename it, or remove the label"));
    }
    for (number, annotation) in [(port, PORT_ANNOTATION), (admin_port, ADMIN_PORT_ANNOTATION)] {
        let mut declared = containers().flat_map(|container| items(container, "ports"));
        if declared.any(|port| at(port, &["containerPort"]) == number) {
            return Err(format!("a container declares port {number}; choose another with annotation {annotation}"));
        }
    }
    Ok(Some(Wanted {
        recommender: recommender.to_owned(),
        namespace: label(NAMESPACE_LABEL).map(str::to_owned),
        port,
        admin_port,
        identity: identity.is_null(),
        service_account: label(SERVICE_ACCOUNT_LABEL).map(str::to_owned),
        memory,
        local,
    }))
}

/// What a pod asks for in local mode; `None`: its sidecar forwards.
fn wanted_local(pod: &Value) -> Result<Option<Local>, String> {
    let labels = at(pod, &["metadata", "labels"]);
    match at(labels, &[MODE_LABEL]).as_str() {
        None | Some("proxy") => return Ok(None),
        Some("local") => {}
        Some(mode) => return Err(format!("label {MODE_LABEL}: {mode:?}; expected proxy or local")),
    }
    // A pod mounts ConfigMaps and Secrets of its own namespace only.
    if !at(labels, &[NAMESPACE_LABEL]).is_null() {
        return Err(format!(
            "label {NAMESPACE_LABEL} with {MODE_LABEL} local: a copy of the model needs a Recommender of the same \
             namespace; remove one of the two labels"
        ));
    }
    let expected = "the name of a Secret";
    let store_secret = annotation(pod, local::STORE_SECRET_ANNOTATION, local::is_secret_name, expected)?;
    Ok(Some(Local { store_secret }))
}

/// The text of an annotation, if there is one.
fn annotation(pod: &Value, name: &str, is_valid: fn(&str) -> bool, expected: &str) -> Result<Option<String>, String> {
    let value = at(pod, &["metadata", "annotations", name]);
    if value.is_null() {
        return Ok(None);
    }
    let text = value.as_str().filter(|text| is_valid(text));
    text.map(|text| Some(text.to_owned())).ok_or_else(|| format!("annotation {name}: {value}; expected {expected}"))
}

/// The port of an annotation: unprivileged, because the container runs without capabilities.
fn parse_port(annotation: &str, value: &Value) -> Result<u16, String> {
    let port = value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    let port = port.and_then(|text| text.parse().ok()).filter(|port| *port >= 1024);
    port.ok_or_else(|| format!("annotation {annotation}: {value}; expected a port from 1024 to 65535, in quotes"))
}

fn container(wanted: &Wanted, injection: &Injection) -> Value {
    let namespace = match &wanted.namespace {
        Some(namespace) => json!({"name": paths::NAMESPACE_ENV, "value": namespace}),
        None => json!({"name": paths::NAMESPACE_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
    };
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if injection.fixed_user_ids
        && let Some(fields) = security.as_object_mut()
    {
        fields.insert("runAsUser".to_owned(), json!(USER));
        fields.insert("runAsGroup".to_owned(), json!(USER));
    }
    let mut arguments = vec![
        "proxy".to_owned(),
        format!("--recommender={}", wanted.recommender),
        format!("--listen=127.0.0.1:{}", wanted.port),
        format!("--admin-listen=[::]:{}", wanted.admin_port),
    ];
    let mut mounts = vec![json!({"name": NO_TOKEN_VOLUME, "mountPath": TOKEN_DIR, "readOnly": true})];
    if wanted.local.is_some() {
        arguments.push(local::ARGUMENT.to_owned());
        mounts.extend(local::mounts());
    }
    if wanted.signer(injection).is_some() {
        arguments.extend(volumes::arguments());
        // The kubelet replaces the variable.
        let server = |account| format!("--server-identity=$({})/{account}", paths::NAMESPACE_ENV);
        arguments.extend(wanted.service_account.as_ref().map(server));
        mounts.extend(volumes::mounts(CERTIFICATE_VOLUME, ANCHORS_VOLUME));
    }
    json!({
        "name": CONTAINER,
        "image": injection.image,
        "imagePullPolicy": injection.image_pull_policy,
        // A sidecar: it starts before the app, and ends after it.
        "restartPolicy": "Always",
        "args": arguments,
        "env": [namespace],
        "ports": [{"name": ports::PROXY_ADMIN_NAME, "containerPort": wanted.admin_port, "protocol": "TCP"}],
        // Listening, not answering: the app starts also without serving pods.
        "startupProbe": {
            "httpGet": {"path": paths::LIVEZ, "port": wanted.admin_port},
            "periodSeconds": 1, "failureThreshold": STARTUP_SECONDS,
        },
        "resources": wanted.resources(injection),
        "securityContext": security,
        "volumeMounts": mounts,
    })
}

/// The value at a path of fields; null if it is absent.
fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, name| value.get(name)).unwrap_or(&Value::Null)
}

/// The entries of the list in a field.
fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// Adds to the list in a field, at an index or at the end; an absent list becomes empty first.
fn add(parent: &mut Map<String, Value>, name: &str, index: usize, added: Value) {
    match parent.entry(name).or_insert(Value::Null) {
        Value::Array(list) => list.insert(index.min(list.len()), added),
        absent => *absent = json!([added]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injection() -> Injection {
        Injection {
            image: "sidecar:1".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            fixed_user_ids: true,
            signer: None,
            resources: json!({"requests": {"cpu": "10m"}}),
            local_memory: "256Mi".to_owned(),
            cache_size: "32Gi".to_owned(),
        }
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Value {
        let mut pod = json!({
            "metadata": {"labels": {"recmesh.dev/inject": "films"}},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        change(&mut pod);
        pod
    }

    #[test]
    fn the_sidecar_is_the_first_init_container_and_the_app_knows_its_address() {
        let mut pod = pod(|pod| {
            pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
            pod["spec"]["volumes"] = json!([{"name": "data"}]);
            pod["spec"]["containers"] = json!([
                {"name": "app", "env": [{"name": "A", "value": "b"}]},
                {"name": "own", "env": [{"name": "RECMESH_URL", "value": "http://films:8080"}]},
            ]);
        });
        assert_eq!(inject(&mut pod, &injection()), Ok(true));
        let spec = &pod["spec"];
        assert_eq!(spec["initContainers"][0]["name"], CONTAINER);
        assert_eq!(spec["initContainers"][1]["name"], "migrate");
        assert_eq!(
            spec["initContainers"][0]["args"],
            json!(["proxy", "--recommender=films", "--listen=127.0.0.1:8088", "--admin-listen=[::]:9098"])
        );
        assert_eq!(spec["volumes"][1], json!({"name": NO_TOKEN_VOLUME, "emptyDir": {}}));
        let url = json!({"name": "RECMESH_URL", "value": "http://127.0.0.1:8088"});
        assert_eq!(spec["containers"][0]["env"], json!([{"name": "A", "value": "b"}, url]));
        assert_eq!(spec["containers"][1]["env"][0]["value"], "http://films:8080");
        assert_eq!(pod["metadata"]["labels"]["recmesh.dev/injected"], "true");
        let before = pod.clone();
        assert_eq!(inject(&mut pod, &injection()), Ok(false), "it is there already");
        assert_eq!(pod, before);
    }

    #[test]
    fn another_namespace_and_other_ports_are_passed_on() {
        let mut pod = pod(|pod| {
            pod["metadata"]["labels"][NAMESPACE_LABEL] = json!("media");
            pod["metadata"]["annotations"] = json!({"recmesh.dev/port": "8188", "recmesh.dev/admin-port": "9198"});
            pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8088}, {"containerPort": 9098}]);
        });
        assert_eq!(inject(&mut pod, &injection()), Ok(true));
        let proxy = &pod["spec"]["initContainers"][0];
        assert_eq!(proxy["env"], json!([{"name": "RECMESH_NAMESPACE", "value": "media"}]));
        assert_eq!(proxy["startupProbe"]["httpGet"]["port"], 9198);
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["value"], "http://127.0.0.1:8188");
    }

    #[test]
    fn a_certificate_is_mounted_by_the_sidecar_alone_unless_the_app_wants_none() {
        let injection = Injection { signer: Some("recmesh.dev/recmesh".to_owned()), ..injection() };
        let mut with = pod(|pod| pod["metadata"]["labels"][SERVICE_ACCOUNT_LABEL] = json!("server"));
        assert_eq!(inject(&mut with, &injection), Ok(true));
        let names = |list: &Value| list.as_array().unwrap().iter().map(|v| v["name"].clone()).collect::<Vec<_>>();
        let expected = ["recmesh-proxy-no-token", "recmesh-proxy-certificate", "recmesh-proxy-anchors"];
        let proxy = &with["spec"]["initContainers"][0];
        assert_eq!(names(&with["spec"]["volumes"]), expected);
        assert_eq!(names(&proxy["volumeMounts"]), expected);
        assert_eq!(with["spec"]["containers"][0]["volumeMounts"], Value::Null);
        let args: Vec<&str> = proxy["args"].as_array().unwrap().iter().skip(4).filter_map(Value::as_str).collect();
        let files = [
            "--credentials=/var/run/recmesh/identity/credentials.pem",
            "--anchors=/var/run/recmesh/anchors/anchors.pem",
            "--server-identity=$(RECMESH_NAMESPACE)/server",
        ];
        assert_eq!(args, files);
        let none = |pod: &mut Value| pod["metadata"]["annotations"] = json!({IDENTITY_ANNOTATION: "none"});
        let (mut without, mut plain) = (pod(none), pod(none));
        assert_eq!(inject(&mut without, &injection), Ok(true));
        assert_eq!(inject(&mut plain, &Injection { signer: None, ..injection }), Ok(true));
        assert_eq!(without, plain);
    }

    #[test]
    fn in_local_mode_it_mounts_the_config_and_the_credentials_of_the_recommender_if_they_exist() {
        let mut pod = pod(|pod| pod["metadata"]["labels"][MODE_LABEL] = json!("local"));
        assert_eq!(inject(&mut pod, &injection()), Ok(true));
        let expected = json!([
            {"name": NO_TOKEN_VOLUME, "emptyDir": {}},
            {"name": "recmesh-proxy-config", "configMap": {"name": "films-serving", "optional": true}},
            {"name": "recmesh-proxy-store", "secret": {"secretName": "films-store-serve", "optional": true}},
            {"name": "recmesh-proxy-cache", "emptyDir": {"sizeLimit": "32Gi"}},
        ]);
        assert_eq!(pod["spec"]["volumes"], expected);
        let proxy = &pod["spec"]["initContainers"][0];
        assert_eq!(proxy["args"][4], "--local");
        let mounts: Vec<_> = proxy["volumeMounts"].as_array().unwrap().iter().map(|m| &m["mountPath"]).collect();
        let paths = ["/etc/recmesh/serving", "/var/run/secrets/recmesh/store", "/var/cache/recmesh"];
        assert_eq!(mounts[1..], paths);
        let memory = json!({"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}});
        assert_eq!(proxy["resources"], memory);
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"], Value::Null, "the app does not mount them");
    }

    #[test]
    fn annotations_name_the_secret_of_the_users_bucket_and_the_memory() {
        let mut local = pod(|pod| {
            pod["metadata"]["labels"][MODE_LABEL] = json!("local");
            pod["metadata"]["annotations"] = json!({"recmesh.dev/store-secret": "bucket", "recmesh.dev/memory": "2Gi"});
        });
        assert_eq!(inject(&mut local, &injection()), Ok(true));
        assert_eq!(local["spec"]["volumes"][2]["secret"]["secretName"], "bucket");
        assert_eq!(local["spec"]["initContainers"][0]["resources"]["limits"], json!({"memory": "2Gi"}));
        let mut proxy = pod(|pod| pod["metadata"]["annotations"] = json!({"recmesh.dev/memory": "96Mi"}));
        assert_eq!(inject(&mut proxy, &injection()), Ok(true));
        let expected = json!({"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "96Mi"}});
        assert_eq!(proxy["spec"]["initContainers"][0]["resources"], expected);
    }

    /// What makes a pod impossible, and a word of the message.
    type Impossible = (&'static str, fn(&mut Value));

    #[test]
    fn a_pod_that_cannot_have_a_sidecar_is_named_and_stays_as_it_is() {
        let cases: [Impossible; 13] = [
            ("expected none", |pod| pod["metadata"]["annotations"] = json!({"recmesh.dev/identity": "off"})),
            ("expected proxy or local", |pod| pod["metadata"]["labels"][MODE_LABEL] = json!("remote")),
            ("of the same namespace", |pod| {
                pod["metadata"]["labels"][MODE_LABEL] = json!("local");
                pod["metadata"]["labels"][NAMESPACE_LABEL] = json!("media");
            }),
            ("such as 512Mi", |pod| pod["metadata"]["annotations"] = json!({"recmesh.dev/memory": "512"})),
            ("name of a Secret", |pod| {
                pod["metadata"]["labels"][MODE_LABEL] = json!("local");
                pod["metadata"]["annotations"] = json!({"recmesh.dev/store-secret": "My_Bucket"});
            }),
            ("hostNetwork", |pod| pod["spec"]["hostNetwork"] = json!(true)),
            ("Windows", |pod| pod["spec"]["os"] = json!({"name": "windows"})),
            ("recmesh.dev/port", |pod| pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8088}])),
            ("recmesh.dev/admin-port", |pod| {
                pod["spec"]["initContainers"] = json!([{"name": "a", "ports": [{"containerPort": 9098}]}]);
            }),
            ("from 1024 to 65535", |pod| pod["metadata"]["annotations"] = json!({"recmesh.dev/port": "80"})),
            ("expected two ports", |pod| pod["metadata"]["annotations"] = json!({"recmesh.dev/port": "9098"})),
            ("rename it", |pod| pod["spec"]["containers"][0]["name"] = json!(CONTAINER)),
            ("a pod of Recmesh", |pod| pod["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("recmesh")),
        ];
        for (word, change) in cases {
            let mut pod = pod(change);
            let before = pod.clone();
            let error = inject(&mut pod, &injection()).unwrap_err();
            assert!(error.contains(word), "expected {word:?} in: {error}");
            assert_eq!(pod, before);
        }
        let mut other = pod(|pod| pod["metadata"] = json!({"labels": {"app": "web"}}));
        assert_eq!(inject(&mut other, &injection()), Ok(false));
    }
}
