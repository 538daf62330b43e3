//! A real kube-apiserver with the definition installed.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::generated::package;

/// Maximum wait. It only ends a test that hangs.
const START_DEADLINE: Duration = Duration::from_mins(10);

/// The server, and a kubectl configured for it.
pub struct ApiServer {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    script: Child,
    _directory: TempDir,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // The script's children end with it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Starts a server and installs `crds/recommenders.yaml`.
pub fn start() -> ApiServer {
    let cluster = package().join("../tests/cluster");
    let tools = Command::new(cluster.join("cluster")).arg("path").output().unwrap();
    let tools = PathBuf::from(String::from_utf8(tools.stdout).unwrap().trim());
    let kubectl = tools.join("kubectl");
    assert!(kubectl.exists(), "{} does not exist: run tests/cluster/cluster tools", kubectl.display());

    let directory = tempfile::tempdir().unwrap();
    // The death signal ends the script if this process ends without running destructors.
    let script = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(cluster.join("apiserver"))
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let api = ApiServer { kubectl, kubeconfig, script, _directory: directory };
    let deadline = Instant::now() + START_DEADLINE;
    while !api.kubeconfig.exists() {
        assert!(Instant::now() < deadline, "the API server did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    api.kubectl(&["create", "-f", package().join("recommenders.yaml").to_str().unwrap()]).unwrap();
    // The resource is served, and is in the schema that kubectl reads, a moment after it is created.
    // `kubectl wait --for=condition=Established` would fail at once if the conditions of the
    // definition are still null, as they are at first (kubernetes/kubernetes#66439).
    while api.kubectl(&["explain", "recommender.spec"]).is_err() || api.kubectl(&["get", "recommenders"]).is_err() {
        assert!(Instant::now() < deadline, "recommenders are not served");
        std::thread::sleep(Duration::from_millis(50));
    }
    api
}

impl ApiServer {
    /// Runs kubectl and returns its standard output, or on failure its standard error.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output =
            Command::new(&self.kubectl).arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    /// Runs kubectl on a resource in YAML.
    pub fn with_yaml(&self, arguments: &[&str], yaml: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        self.kubectl(&[arguments, &["-f", file.path().to_str().unwrap()]].concat())
    }
}
