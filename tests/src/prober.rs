//! A container that opens connections: whether the NetworkPolicies of both ends admit them.

use anyhow::{Result, bail, ensure};

use crate::{commands::Commands, namespace::Namespace, wait};

const POD: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {LABELS}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: prober
    image: IMAGE
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    command: [sleep, "3600"]
"#;

const IMAGE: &str = "localhost/recmesh/busybox:1";
const CONTAINER: &str = "prober";

/// A container that opens connections.
#[derive(Debug)]
pub struct Prober {
    commands: Commands,
    namespace: String,
    pod: String,
    /// The pod was made for the prober, and is deleted with it.
    owns_pod: bool,
}

impl Prober {
    /// Creates a pod with these labels, `app: web, tier: front`.
    pub fn create(commands: &Commands, namespace: &str, pod: &str, labels: &str) -> Result<Self> {
        let manifest = POD.replace("NAME", pod).replace("LABELS", labels).replace("IMAGE", IMAGE);
        commands.kubectl_with_input(&["apply", "--server-side", "--namespace", namespace, "-f", "-"], &manifest)?;
        let prober =
            Self { commands: commands.clone(), namespace: namespace.to_owned(), pod: pod.to_owned(), owns_pod: true };
        let ready = ["wait", "--for=condition=Ready", "--namespace", namespace, "pod", pod, &wait::timeout_argument()];
        commands.kubectl(&ready)?;
        Ok(prober)
    }

    /// Adds a container to a pod that exists; the policies for the pod apply to it.
    pub async fn attach(namespace: &Namespace, pod: &str) -> Result<Self> {
        let image = format!("--image={IMAGE}");
        let container = format!("--container={CONTAINER}");
        namespace.kubectl(&["debug", pod, &image, &container, "--profile=restricted", "--", "sleep", "3600"])?;
        let commands = namespace.cluster.commands.clone();
        let prober = Self { commands, namespace: namespace.name.clone(), pod: pod.to_owned(), owns_pod: false };
        wait::until("the added container runs", || prober.shell("true")).await?;
        Ok(prober)
    }

    fn shell(&self, script: &str) -> Result<String> {
        let exec = ["exec", "--namespace", &self.namespace, &self.pod, "--container", CONTAINER, "--", "sh", "-c"];
        self.commands.kubectl(&[&exec[..], &[script]].concat())
    }

    /// Whether a TCP connection to this address and port is established.
    pub fn connects(&self, address: &str, port: u16) -> Result<bool> {
        // The connected program ends at once; without it, nc would wait for the other side.
        let connect = format!("nc -w 3 {address} {port} -e /bin/sh -c : 2>/dev/null && echo open || echo closed");
        match self.shell(&connect)?.trim() {
            "open" => Ok(true),
            "closed" => Ok(false),
            other => bail!("unexpected output of the prober: {other:?}"),
        }
    }

    /// Waits until connections to this address and port are established, or until none is: policies
    /// come into force shortly after the pods and the policies change.
    pub async fn wait_connects(&self, address: &str, port: u16, expected: bool) -> Result<()> {
        let state = if expected { "open" } else { "closed" };
        wait::until(&format!("{address}:{port} is {state} to pod {} of {}", self.pod, self.namespace), || {
            ensure!(self.connects(address, port)? == expected, "it is not");
            Ok(())
        })
        .await
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if self.owns_pod {
            let delete = ["delete", "pod", &self.pod, "--namespace", &self.namespace, "--ignore-not-found"];
            let _ = self.commands.kubectl(&[&delete[..], &["--wait=false"]].concat());
        }
    }
}
