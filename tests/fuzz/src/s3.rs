//! Requests to the embedded store: HTTP, paths, queries, signatures, and XML, with an empty store
//! for each input.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use recommender_store::{
    access::{DerivedKeys, Policy},
    body::ResponseBody,
    disk::Disk,
    front::Front,
    key_path::prefix_directory,
    metrics::Metrics,
    protocol::Protocol,
};
use s3s::service::S3ServiceBuilder;
use sidecar_contract::{KeyLayout, credentials::AccessKeyId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
};

use crate::signature::sign;

const ROOT_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const INSTALLATION: &str = "1b2c";
const NAMESPACE: &str = "shop";
const NAME: &str = "movies";
/// Buffer of the connection, in bytes.
const CONNECTION_BYTES: usize = 64 << 10;

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be started");
}

/// The bytes of a connection: one or more requests. A request with the header
/// `authorization: <role>` is signed as that role of shop/movies. Returns whether one succeeded.
pub fn s3(input: &[u8]) -> bool {
    let root = tempfile::tempdir().expect("the directory for temporary files is writable");
    let data = root.path().join("data");
    let disk = Arc::new(Disk::open(&data).expect("a new directory can be opened"));
    let succeeded = RUNTIME.with(|runtime| runtime.block_on(converse(front(&disk), input)));
    check(root.path(), &data);
    succeeded
}

/// The store as `App` assembles it.
fn front(disk: &Arc<Disk>) -> Front {
    let metrics = Metrics::new().expect("the names of the metrics are distinct");
    let mut builder = S3ServiceBuilder::new(Protocol::new(Arc::clone(disk), metrics.clone()));
    builder.set_auth(DerivedKeys::new(ROOT_KEY.to_vec()));
    builder.set_access(Policy::new(INSTALLATION.to_owned()));
    Front::new(builder.build(), metrics)
}

/// Sends the input and reads all responses. Returns whether one is a success.
async fn converse(front: Front, input: &[u8]) -> bool {
    let (client, server) = tokio::io::duplex(CONNECTION_BYTES);
    let (mut reader, mut writer) = tokio::io::split(client);
    let mut http = http1::Builder::new();
    let succeeded = AtomicBool::new(false);
    let service = service_fn(async |request| {
        let response = respond(front.clone(), request).await?;
        succeeded.fetch_or(response.status().is_success(), Ordering::Relaxed);
        Ok::<_, s3s::HttpError>(response)
    });
    let serve = http.timer(TokioTimer::new()).half_close(true).serve_connection(TokioIo::new(server), service);
    let send = async {
        // The server closes the connection after an invalid request.
        let _ = writer.write_all(input).await;
        let _ = writer.shutdown().await;
    };
    let receive = async {
        let mut responses = Vec::new();
        let _ = reader.read_to_end(&mut responses).await;
    };
    let (_, (), ()) = tokio::join!(serve, send, receive);
    succeeded.into_inner()
}

async fn respond(front: Front, mut request: Request<Incoming>) -> Result<Response<ResponseBody>, s3s::HttpError> {
    let role = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let id = role.and_then(|role| AccessKeyId::parse(&format!("{NAMESPACE}.{NAME}.{role}")));
    if let Some(id) = id {
        sign(&mut request, &id, ROOT_KEY);
    }
    let response = front.handle(request).await?;
    assert_ne!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "a request caused an error of the server");
    Ok(response)
}

/// Nothing was written beside the data directory, and no object outside the prefix of shop/movies.
fn check(root: &Path, data: &Path) {
    assert_eq!(entries(root), [data.to_owned()]);
    let prefix = KeyLayout::recommender_prefix(INSTALLATION, NAMESPACE, NAME);
    let allowed = data.join("objects").join(prefix_directory(&prefix));
    let mut directories = vec![data.join("objects")];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            assert!(path.starts_with(&allowed) || allowed.starts_with(&path), "{}", path.display());
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory of this input is readable");
    entries.flatten().map(|entry| entry.path()).collect()
}
