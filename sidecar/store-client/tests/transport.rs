//! Private certificate authorities and proxies of a user's Secret, against a TLS server with a
//! certificate of its own authority, and against a proxy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // also for helpers outside #[test] functions

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
};

use object_store::{ObjectStoreExt as _, path::Path as Key};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use store_client::{BucketSecret, StoreCredentials, connect};

const CONTENT: &str = "user_id,item_id\n";

/// The response to every request, and to the HEAD of a file.
fn response() -> String {
    format!("HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{CONTENT}", CONTENT.len())
}

fn answer(mut stream: impl Read + Write) -> Option<String> {
    let mut head = vec![0; 4096];
    let length = stream.read(&mut head).ok()?;
    stream.write_all(response().as_bytes()).ok()?;
    stream.flush().ok()?;
    Some(String::from_utf8_lossy(&head[..length]).into_owned())
}

/// Runs `openssl req -x509` in a directory.
fn openssl(directory: &Path, arguments: &[&str]) {
    let common = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let output = Command::new("openssl").current_dir(directory).args(common).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts an HTTPS server with a certificate of a private authority. Returns its URL and the
/// certificate of the authority.
fn https_server(directory: &Path) -> (String, String) {
    openssl(directory, &["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=private authority"]);
    openssl(
        directory,
        &[
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-keyout",
            "server.key",
            "-out",
            "server.pem",
            "-subj",
            "/CN=server",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    let certificate = CertificateDer::from_pem_file(directory.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    store_client::install_tls_provider();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            answer(StreamOwned::new(connection, stream.unwrap()));
        }
    });
    (format!("https://localhost:{port}/visits.csv"), std::fs::read_to_string(directory.join("ca.pem")).unwrap())
}

fn secret(values: &[(&str, &str)]) -> StoreCredentials {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    StoreCredentials::Secret(BucketSecret::new("shop-web", values))
}

async fn read(url: &str, credentials: Option<&StoreCredentials>) -> Result<String, String> {
    let location = connect(url, None, "us-east-1", credentials).map_err(|error| error.to_string())?;
    let got = location.object_store.get(&Key::from(location.key.as_str())).await;
    let bytes = got.map_err(|error| format!("{error:?}"))?.bytes().await.map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_if_the_secret_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let (url, authority) = https_server(directory.path());
    let named = secret(&[("CA_CERTIFICATES", &authority)]);
    assert_eq!(read(&url, Some(&named)).await.as_deref(), Ok(CONTENT));
    let error = read(&url, None).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_secret_may_name_a_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let (heads, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in proxy.incoming().map(Result::<TcpStream, _>::unwrap) {
            heads.send(answer(stream).unwrap_or_default()).unwrap();
        }
    });
    let named = secret(&[("PROXY_URL", &proxy_url)]);
    // The name does not exist: only the proxy is asked.
    assert_eq!(read("http://files.shop.invalid/visits.csv", Some(&named)).await.as_deref(), Ok(CONTENT));
    let head = received.recv().unwrap();
    assert!(head.starts_with("GET http://files.shop.invalid/visits.csv HTTP/1.1"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn invalid_values_are_named() {
    for (key, value, expected) in [
        ("CA_CERTIFICATES", "MIIB", "Secret shop-web: CA_CERTIFICATES has no certificate; expected PEM text"),
        ("PROXY_URL", "not a url", "Secret shop-web: PROXY_URL is not a URL; expected http://<host>:<port>"),
    ] {
        let error = read("https://localhost:1/visits.csv", Some(&secret(&[(key, value)]))).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
