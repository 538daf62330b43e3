//! The real binary: starts, configures, queries and stops it as kubelet and clients do.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sidecar_contract::{
    Access, Digest, ModelReport, RevisionRef, RevisionRole, ServingConfig, ServingLimits, ServingMode, StoreConfig,
    canonical_json,
};
use store_client::Store;
use tokio::net::TcpSocket;

/// Generous, because it only ends tests that hang.
pub const DEADLINE: Duration = Duration::from_mins(10);

/// Maximum number of starts of a process, each on other ports.
const STARTS_MAX: usize = 10;

/// Header of a client that waits as long as it may. Without it a busy machine would get the answers
/// that an app gets after a second: incomplete ones, or those that are kept.
pub const PATIENT: &str = "x-request-timeout-ms: 60000\r\n";

/// The headers, and [`PATIENT`] unless they state a time.
pub fn patient(headers: &str) -> String {
    let is_stated = headers.to_ascii_lowercase().contains("x-request-timeout-ms:");
    format!("{headers}{}", if is_stated { "" } else { PATIENT })
}

/// A running sidecar; killed when dropped.
pub struct Process {
    pub child: Child,
    pub port: u16,
    pub admin_port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port that refuses connections: it is bound, so that nobody else gets it, and nobody listens.
pub struct ClosedPort {
    _socket: TcpSocket,
    pub port: u16,
}

impl ClosedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        Self { _socket: socket, port }
    }
}

/// Starts `serve` with config and cache in a directory; the log goes to `sidecar.log` there.
pub fn start(directory: &Path) -> Process {
    start_with(directory, &[])
}

/// The same with more arguments.
pub fn start_with(directory: &Path, arguments: &[&str]) -> Process {
    launch(&directory.join("sidecar.log"), || serve(directory, arguments))
}

/// The same with a port for mutual TLS, which is returned, too.
pub fn start_with_mesh_port(directory: &Path, arguments: &[&str]) -> (Process, u16) {
    let mut mesh_port = 0;
    let process = launch(&directory.join("sidecar.log"), || {
        mesh_port = free_port();
        let mut command = serve(directory, arguments);
        command.args(["--mesh-port", &mesh_port.to_string()]);
        command
    });
    (process, mesh_port)
}

fn serve(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"));
    command
        .arg("serve")
        .arg("--config-dir")
        .arg(directory)
        .arg("--credentials-dir")
        .arg(directory.join("no-credentials"))
        .arg("--cache-dir")
        .arg(directory.join("cache"))
        .args(["--config-poll-ms", "10"])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

/// Starts `compose` with the composition in a directory; the log goes to `compose.log` there.
pub fn start_compose(directory: &Path) -> Process {
    launch(&directory.join("compose.log"), || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"));
        command.arg("compose").arg("--config-dir").arg(directory).args(["--config-poll-ms", "10"]);
        command
    })
}

/// Starts `proxy` with serving pods at these ports; the log goes to `proxy.log` in the directory.
pub fn start_proxy(directory: &Path, upstreams: &[u16]) -> Process {
    start_proxy_with(directory, upstreams, &[])
}

/// The same with more arguments.
pub fn start_proxy_with(directory: &Path, upstreams: &[u16], arguments: &[&str]) -> Process {
    launch(&directory.join("proxy.log"), || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"));
        command
            .args(["proxy", "--recommender", "movies", "--namespace", "shop"])
            .args(upstreams.iter().map(|port| format!("--upstream=127.0.0.1:{port}")))
            .args(arguments);
        command
    })
}

/// Starts a command with free ports of its own, and returns the process once it is live. Somebody
/// else may take a port after it was chosen, so a process that exits is started on other ports.
fn launch(log: &Path, mut command: impl FnMut() -> Command) -> Process {
    for _ in 0..STARTS_MAX {
        let (port, admin_port) = (free_port(), free_port());
        let child = command()
            .args(["--listen", &format!("127.0.0.1:{port}"), "--admin-listen", &format!("127.0.0.1:{admin_port}")])
            .stderr(File::options().create(true).append(true).open(log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process { child, port, admin_port };
        if process.becomes_live() {
            return process;
        }
    }
    panic!("the process exited at each of {STARTS_MAX} starts: {}", std::fs::read_to_string(log).unwrap());
}

impl Process {
    /// Waits until the process is live; returns false if it exits.
    fn becomes_live(&mut self) -> bool {
        let mut has_exited = false;
        wait_for("liveness", || {
            let is_live = request(self.admin_port, "GET", "/livez", "").is_some_and(|(status, _)| status == 200);
            has_exited = self.child.try_wait().unwrap().is_some();
            is_live || has_exited
        });
        !has_exited
    }

    /// The sum of the series of a metric whose labels contain a text.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = request(self.admin_port, "GET", "/metrics", "").unwrap();
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Stops the process, and waits until it is: on a busy machine its threads answer until one of
    /// them gets a CPU to take the signal.
    pub fn freeze(&self) {
        self.signal("-STOP");
        let deadline = Instant::now() + DEADLINE;
        let threads = || std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'));
        while !threads().all(|thread| std::fs::read_to_string(thread.path().join("stat")).is_ok_and(is_stopped)) {
            assert!(Instant::now() < deadline, "the process runs after SIGSTOP");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_ready(&self) -> bool {
        request(self.admin_port, "GET", "/readyz", "").is_some_and(|(status, _)| status == 200)
    }

    pub fn report(&self) -> ModelReport {
        serde_json::from_str(&request(self.admin_port, "GET", "/model", "").unwrap().1).unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}

/// Sends a request and returns status and body; `None` if the port is closed.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    request_as(port, method, path, "application/json", body)
}

/// The same with another content type.
pub fn request_as(port: u16, method: &str, path: &str, content_type: &str, body: &str) -> Option<(u16, String)> {
    request_with(port, &format!("{method} {path}"), &format!("content-type: {content_type}\r\n"), body)
}

/// The same with these headers.
pub fn request_with(port: u16, target: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = body.len();
    let head = format!(
        "{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}content-length: {length}\r\n\r\n",
        patient(headers)
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "timeout: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn recommend(port: u16, n: u32) -> (u16, Value) {
    let body = json!({"user": "user6", "n": n}).to_string();
    let (status, body) = request(port, "POST", "/recommend", &body).expect("the application port is open");
    (status, serde_json::from_str(&body).unwrap())
}

/// A store in a directory.
pub fn file_store(directory: &Path) -> StoreConfig {
    std::fs::create_dir_all(directory.join("store")).unwrap();
    StoreConfig {
        url: format!("file://{}", directory.join("store").display()),
        endpoint: None,
        region: "us-east-1".into(),
        prefix: "1b2c/shop/movies/".into(),
    }
}

/// Stores a model file as the desired revision.
pub async fn put(store: &StoreConfig, path: &Path) -> RevisionRef {
    let revision = revision(&std::fs::read(path).unwrap());
    Store::open(store, None).unwrap().put_snapshot(path, &revision.digest).await.unwrap();
    revision
}

/// The desired revision with these bytes.
pub fn revision(bytes: &[u8]) -> RevisionRef {
    RevisionRef {
        digest: Digest::of(bytes),
        snapshot_bytes: bytes.len() as u64,
        role: RevisionRole::Desired.into(),
        weight: 100,
        trained_at: 1,
        serving_mode: ServingMode::Personalized.into(),
        metrics: None,
        catalogue: None,
    }
}

/// The revision in the other role.
pub fn last_good(revision: &RevisionRef) -> RevisionRef {
    RevisionRef { role: RevisionRole::LastGood.into(), ..revision.clone() }
}

/// Replaces the serving config atomically, as kubelet does.
pub fn configure(directory: &Path, store: &StoreConfig, revisions: &[RevisionRef], limits: ServingLimits) {
    configure_access(directory, store, revisions, limits, Access::default());
}

/// The same with access.
pub fn configure_access(
    directory: &Path,
    store: &StoreConfig,
    revisions: &[RevisionRef],
    limits: ServingLimits,
    access: Access,
) {
    let config = ServingConfig {
        namespace: "shop".into(),
        name: "movies".into(),
        revisions: revisions.to_vec(),
        loads_first: None,
        loads_first_since: None,
        fallback: vec!["popular".into()],
        store: store.clone(),
        limits,
        gate: None,
        access,
    };
    std::fs::write(directory.join("new"), canonical_json(&config)).unwrap();
    std::fs::rename(directory.join("new"), directory.join(sidecar_contract::paths::SERVING_CONFIG_FILE)).unwrap();
}
