//! The running process: swaps under load, limits of the serving config, the metrics text, and SIGTERM.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sidecar_contract::{
    Answers, Digest, RevisionRef, RevisionRole, ServingConfig, ServingLimits, StoreConfig, canonical_json,
};
use store_client::Store;

use crate::model::train;

/// Ends hanging only.
const DEADLINE: Duration = Duration::from_mins(1);

struct Process {
    child: Child,
    port: u16,
    admin_port: u16,
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

fn start(directory: &Path) -> Process {
    let (port, admin_port) = (free_port(), free_port());
    let child = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}"), "--admin-listen", &format!("127.0.0.1:{admin_port}")])
        .arg("--config-dir")
        .arg(directory)
        .arg("--credentials-dir")
        .arg(directory.join("no-credentials"))
        .arg("--cache-dir")
        .arg(directory.join("cache"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Process { child, port, admin_port }
}

/// Status and body; `None` if nobody listens.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn recommend(port: u16, n: u32) -> (u16, Value) {
    let body = json!({"user": "user6", "n": n}).to_string();
    let (status, body) = ask(port, "POST", "/recommend", &body).expect("the listener is open");
    (status, serde_json::from_str(&body).unwrap())
}

async fn put(directory: &Path, store: &StoreConfig, factors: u32) -> RevisionRef {
    let path = train(directory, factors).await;
    let bytes = std::fs::read(&path).unwrap();
    let digest = Digest::of(&bytes);
    Store::open(store, None).unwrap().put_snapshot(&path, &digest).await.unwrap();
    let snapshot_bytes = bytes.len() as u64;
    RevisionRef {
        digest,
        snapshot_bytes,
        role: RevisionRole::Desired,
        weight: 100,
        trained_at: 1,
        answers: Answers::Full,
        metrics: None,
    }
}

fn configure(directory: &Path, store: &StoreConfig, revision: &RevisionRef, limits: ServingLimits) {
    let config = ServingConfig {
        namespace: "shop".into(),
        name: "movies".into(),
        revisions: vec![revision.clone()],
        loads_first: None,
        fallback: vec!["popular".into()],
        store: store.clone(),
        limits,
    };
    // Whole or not at all, as kubelet does it.
    std::fs::write(directory.join("new"), canonical_json(&config)).unwrap();
    std::fs::rename(directory.join("new"), directory.join(sidecar_contract::paths::SERVING_CONFIG_FILE)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_from_the_first_model_over_a_swap_to_the_drain() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::create_dir(at.join("store")).unwrap();
    let store = StoreConfig {
        url: format!("file://{}", at.join("store").display()),
        endpoint: None,
        region: "us-east-1".into(),
        prefix: "1b2c/shop/movies/".into(),
    };
    let (first, second) = (put(at, &store, 3).await, put(at, &store, 4).await);
    let mut process = start(at);
    let (port, admin_port) = (process.port, process.admin_port);
    wait_for("life", || ask(admin_port, "GET", "/livez", "").is_some_and(|(status, _)| status == 200));
    assert_eq!(ask(admin_port, "GET", "/readyz", "").unwrap().0, 503);
    configure(at, &store, &first, ServingLimits::default());
    wait_for("readiness", || ask(admin_port, "GET", "/readyz", "").unwrap().0 == 200);

    let (first_name, second_name) = (first.digest.revision().to_owned(), second.digest.revision().to_owned());
    let mut seen = BTreeSet::new();
    assert_eq!(recommend(port, 5).0, 200);
    configure(at, &store, &second, ServingLimits { items_per_answer_max: 7, ..ServingLimits::default() });
    wait_for("the second revision", || {
        let (status, answer) = recommend(port, 5);
        assert_eq!(status, 200, "{answer}");
        let revision = answer["model"]["revision"].as_str().unwrap().to_owned();
        assert!(revision == first_name || revision == second_name, "{answer}");
        seen.insert(revision.clone());
        revision == second_name
    });
    assert!(seen.contains(&second_name));

    // The limit of the config is in force.
    let (status, problem) = recommend(port, 8);
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("from 1 to 7"), "{problem}");

    // The text format: every series has help and type, and nothing speaks of the first revision or a user.
    let (_, metrics) = ask(admin_port, "GET", "/metrics", "").unwrap();
    let mut typed = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.insert(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(typed.contains(name) || typed.contains(family), "{line}");
            assert!(name.starts_with("recommender_"), "{line}");
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
    }
    assert!(metrics.contains(&format!("recommender_model_info{{algorithm=\"als\",revision=\"{second_name}\"}} 1")));
    assert!(!metrics.contains("user6"), "{metrics}");
    assert!(!metrics.contains(&format!("recommender_model_users{{revision=\"{first_name}\"}}")), "{metrics}");

    // SIGTERM: unready at once, answers still come, and the process ends by itself.
    assert!(Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().unwrap().success());
    wait_for("unreadiness", || ask(admin_port, "GET", "/readyz", "").is_none_or(|(status, _)| status == 503));
    assert_eq!(recommend(port, 5).0, 200);
    wait_for("the end", || process.child.try_wait().unwrap().is_some());
    assert!(process.child.wait().unwrap().success());
}
