//! Servers of external buckets; each has its own port and is stopped with the test.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use object_store::{ObjectStoreExt as _, PutPayload, path::Path as Key};
use store_client::{BucketSecret, StoreCredentials};

use crate::setup::runtime;

/// Maximum time until a server accepts connections. It only ends a test that hangs.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// Maximum number of starts of a server, each on another port.
const STARTS_MAX: usize = 10;

pub struct Server {
    child: Child,
    pub port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory with the servers that `tests/cluster/cluster buckets` builds; the first build
/// takes minutes.
fn built() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/cluster");
    let output = Command::new(script).arg("buckets").stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts the command for a free port. Somebody else may take it after it was chosen, so a server that
/// exits is started on another one.
fn start(directory: tempfile::TempDir, mut command: impl FnMut(&Path, u16) -> Command) -> Server {
    let begin = Instant::now();
    for _ in 0..STARTS_MAX {
        let port = free_port();
        let mut command = command(directory.path(), port);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let accepts = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        while !accepts() && child.try_wait().unwrap().is_none() {
            if begin.elapsed() > START_TIMEOUT {
                let _ = child.kill();
                panic!("the server did not start: {command:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if child.try_wait().unwrap().is_none() {
            return Server { child, port, directory };
        }
    }
    panic!("the server exited at each of {STARTS_MAX} starts: {:?}", command(directory.path(), free_port()));
}

/// versitygw: S3 over a directory, with one bucket.
pub fn s3(bucket: &str) -> Server {
    let directory = tempfile::tempdir().unwrap();
    for name in ["objects", "metadata"] {
        std::fs::create_dir_all(directory.path().join(name).join(bucket)).unwrap();
    }
    let program = built().join("versitygw");
    start(directory, |directory, port| {
        let mut command = Command::new(&program);
        command
            .args(["--port", &format!("127.0.0.1:{port}"), "--access", "shop", "--secret", "not-a-secret"])
            .args(["posix", "--sidecar"])
            .args([directory.join("metadata"), directory.join("objects")]);
        command
    })
}

/// fake-gcs-server, with one bucket.
pub fn gcs(bucket: &str) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("objects");
    std::fs::create_dir_all(root.join(bucket)).unwrap();
    let program = built().join("fake-gcs-server");
    start(directory, |_, port| {
        let mut command = Command::new(&program);
        command
            .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-backend", "filesystem"])
            // The server distinguishes buckets from objects by the host of the request.
            .args(["-public-host", &format!("127.0.0.1:{port}"), "-filesystem-root"])
            .arg(&root);
        command
    })
}

/// Azurite without containers; `None` if npm is not installed.
pub fn azure() -> Option<Server> {
    /// npm cannot install into one directory twice at once.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("azurite-3.37.0");
    if !home.join("complete").exists() {
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .arg(&home)
            .arg("azurite@3.37.0")
            .output();
        match npm {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                eprintln!("no npm ({error}): az:// is not tested against Azurite");
                return None;
            }
        }
        std::fs::write(home.join("complete"), "").unwrap();
    }
    drop(installing);
    Some(start(tempfile::tempdir().unwrap(), |directory, port| {
        let mut command = Command::new(home.join("node_modules/.bin/azurite-blob"));
        command
            .args(["--silent", "--skipApiVersionCheck", "--blobPort", &port.to_string(), "--location"])
            .arg(directory);
        command
    }))
}

/// Python's web server with this directory as its root.
pub fn http(root: &Path) -> Server {
    start(tempfile::tempdir().unwrap(), |_, port| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(root).arg(port.to_string());
        command
    })
}

pub fn secret(name: &str, values: &[(&str, &str)]) -> BucketSecret {
    BucketSecret::new(name, values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

impl Server {
    /// Puts objects into the bucket of [`gcs`] with Google's JSON API: the emulator does not accept
    /// the uploads of our client.
    pub fn put_json(&self, bucket: &str, objects: &[(&str, Vec<u8>)]) {
        let script = "import sys, urllib.parse, urllib.request
url = sys.argv[1] + urllib.parse.quote(sys.argv[2], safe='')
urllib.request.urlopen(urllib.request.Request(url, data=open(sys.argv[3], 'rb').read(), method='POST'))
";
        let file = self.directory.path().join("upload");
        for (key, content) in objects {
            std::fs::write(&file, content).unwrap();
            let url = format!("{}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=", self.url());
            let output = Command::new("python3").args(["-c", script, &url, key]).arg(&file).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Secret for the bucket of [`s3`].
    pub fn s3_secret(&self) -> BucketSecret {
        s3_secret(&self.url(), "not-a-secret")
    }

    /// Secret for the bucket of [`gcs`].
    pub fn gcs_secret(&self) -> BucketSecret {
        let key = format!(
            "{{\"gcs_base_url\": \"{}\", \"disable_oauth\": true, \"client_email\": \"\", \"private_key\": \"\", \
             \"private_key_id\": \"\"}}",
            self.url()
        );
        secret("shop-gcs", &[("GOOGLE_SERVICE_ACCOUNT_KEY", &key), ("GOOGLE_BASE_URL", &self.url())])
    }

    /// Secret for [`azure`]; account and key are the emulator's well-known ones.
    pub fn azure_secret(&self) -> BucketSecret {
        secret(
            "shop-az",
            &[
                ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
                (
                    "AZURE_STORAGE_ACCOUNT_KEY",
                    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
                ),
                ("AZURE_STORAGE_ENDPOINT", &format!("{}/devstoreaccount1", self.url())),
            ],
        )
    }
}

pub fn s3_secret(endpoint: &str, key: &str) -> BucketSecret {
    secret("shop-s3", &[("AWS_ACCESS_KEY_ID", "shop"), ("AWS_SECRET_ACCESS_KEY", key), ("AWS_ENDPOINT_URL", endpoint)])
}

/// Puts objects into a bucket.
pub fn put(url: &str, secret: &BucketSecret, objects: &[(&str, Vec<u8>)]) {
    let credentials = StoreCredentials::Secret(secret.clone());
    let bucket = store_client::connect(url, None, "us-east-1", Some(&credentials)).unwrap().object_store;
    runtime().block_on(async {
        for (key, content) in objects {
            bucket.put(&Key::parse(key).unwrap(), PutPayload::from(content.clone())).await.unwrap();
        }
    });
}
