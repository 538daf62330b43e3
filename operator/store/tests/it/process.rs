//! Runs the store binary on a test's own directory.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sidecar_contract::{
    StoreConfig,
    credentials::{AccessKeyId, Role, derive_secret},
    store::{EMBEDDED_BUCKET, EMBEDDED_REGION},
};

/// Root key of the tests.
pub const ROOT: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Installation id of the tests.
pub const INSTALLATION: &str = "1b2c3d4e";

/// Maximum time until the process accepts connections. It only ends a test that hangs.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// Maximum number of starts of the process, each on other ports.
const STARTS_MAX: usize = 10;

/// Running store process; killed on drop.
pub struct Process {
    child: Child,
    /// URL of the S3 endpoint.
    pub endpoint: String,
    /// Address of the S3 endpoint.
    pub address: SocketAddr,
    /// Address of probes and metrics.
    pub admin_address: SocketAddr,
}

impl Process {
    /// Starts the process and waits until it accepts connections. Somebody else may take a port after
    /// it was chosen, so a process that exits is started on other ports.
    pub fn start(directory: &Path) -> Self {
        let started = (0..STARTS_MAX).find_map(|_| Self::try_start(directory));
        started.unwrap_or_else(|| panic!("the store exited at each of {STARTS_MAX} starts"))
    }

    /// `None` if the process exits.
    fn try_start(directory: &Path) -> Option<Self> {
        let file = |name: &str, content: &[u8]| -> PathBuf {
            let path = directory.join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let address = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (address, admin_address) = (address(), address());
        let child = Command::new(env!("CARGO_BIN_EXE_recmesh-store"))
            .arg("--data-dir")
            .arg(directory.join("objects"))
            .args(["--listen", &address.to_string(), "--admin-listen", &admin_address.to_string()])
            .arg("--root-key-file")
            .arg(file("root-key", ROOT))
            .arg("--installation-id-file")
            .arg(file("installation-id", INSTALLATION.as_bytes()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Self { child, endpoint: format!("http://{address}"), address, admin_address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() && process.is_running() {
            assert!(begin.elapsed() < START_TIMEOUT, "the store did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        process.is_running().then_some(process)
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Client configuration for this store.
    pub fn config(&self) -> StoreConfig {
        StoreConfig {
            url: format!("s3://{EMBEDDED_BUCKET}"),
            endpoint: Some(self.endpoint.clone()),
            region: EMBEDDED_REGION.to_owned(),
            prefix: prefix(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prefix of Recommender shop/movies.
pub fn prefix() -> String {
    format!("{INSTALLATION}/shop/movies/")
}

/// Access key id and secret of a role of shop/movies.
pub fn key(role: Role) -> (String, String) {
    let id = AccessKeyId { namespace: "shop".into(), name: "movies".into(), role };
    (id.to_string(), derive_secret(ROOT, &id))
}
