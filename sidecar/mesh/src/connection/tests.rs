//! Attempts to connect that outlive the requests which start them. The clock stands still, because a
//! task is always ready: no timeout ends anything here unless a test moves the clock.

use std::{
    convert::Infallible,
    future::Future as _,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use http::StatusCode;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use test_certificates::{Authority, Leaf, replace};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Notify, Semaphore},
    task::yield_now,
};

use super::*;
use crate::{
    identity::{
        Admission, ClientTls, Identity, IdentityFile, IdentityObserver, IdentityPaths, IdentitySettings, Purpose,
        Reload, ServerTls, SpiffeId, UnixTime,
    },
    limits::CONNECT_TIMEOUT,
};

#[derive(Debug)]
struct Anyone;

impl Admission for Anyone {
    fn admits(&self, _: &SpiffeId, _: &SpiffeId) -> bool {
        true
    }
}

impl IdentityObserver for Anyone {
    fn reloaded(&self, _: IdentityFile, _: Reload) {}

    fn certificate_loaded(&self, _: i64) {}
}

fn identity(directory: &Path, authority: &Authority, service_account: &str, purpose: Purpose) -> Arc<Identity> {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    let leaf = Leaf::valid(&format!("spiffe://cluster.local/ns/shop/sa/{service_account}"), now);
    let path = |kind: &str| directory.join(format!("{service_account}-{kind}.pem"));
    let paths = IdentityPaths { credentials: path("credentials"), anchors: path("anchors") };
    replace(&paths.credentials, &authority.issue(&leaf).pem);
    replace(&paths.anchors, &authority.pem());
    Identity::open(IdentitySettings::new(paths), purpose, Arc::new(Anyone))
}

/// Both sides of mutual TLS.
fn sides(directory: &Path) -> (ClientTls, ServerTls) {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap();
    let authority = Authority::new("anchor", now);
    let client = identity(directory, &authority, "web", Purpose::Client);
    let server = identity(directory, &authority, "movies", Purpose::Server);
    let client = ClientTls::new(client, "shop/movies".parse().unwrap()).unwrap();
    (client, ServerTls::new(server, Arc::new(Anyone)).unwrap())
}

fn keep_the_clock_still() {
    tokio::spawn(async {
        loop {
            yield_now().await;
        }
    });
}

fn request() -> Request<Full<Bytes>> {
    Request::post("https://movies-pods.shop.svc:8443/recommend").body(Full::default()).unwrap()
}

/// Begins to send a request, and gives up.
async fn give_up(connection: &Connection) {
    let request = request();
    let mut sent = pin!(connection.send(&request));
    let polled = std::future::poll_fn(|context| Poll::Ready(sent.as_mut().poll(context))).await;
    assert!(polled.is_pending());
}

/// Waits until this number of tasks is alive.
async fn tasks(alive: usize) {
    while Handle::current().metrics().num_alive_tasks() != alive {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_longer_than_a_request_is_completed_for_the_next_one() {
    keep_the_clock_still();
    let directory = tempfile::tempdir().unwrap();
    let (client, server) = sides(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, arrived, may_answer) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    tokio::spawn({
        let (accepted, arrived, may_answer) = (Arc::clone(&accepted), Arc::clone(&arrived), Arc::clone(&may_answer));
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                arrived.notify_one();
                let _open = may_answer.acquire().await;
                let Ok(established) = server.accept(stream).await else { continue };
                let answer =
                    |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) };
                let answering = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(established.stream), service_fn(answer));
                tokio::spawn(answering);
            }
        }
    });
    let connection = Connection::new(address, Transport::MutualTls(client));
    let first = request();
    tokio::select! {
        biased;
        () = arrived.notified() => {}
        answered = connection.send(&first) => panic!("{answered:?}"),
    }
    // The first request has ended. The second one gets the connection that it began to open.
    give_up(&connection).await;
    may_answer.add_permits(1);
    assert_eq!(connection.send(&request()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_with_its_pod() {
    keep_the_clock_still();
    let directory = tempfile::tempdir().unwrap();
    let (client, _) = sides(directory.path());
    // It accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connection = Connection::new(listener.local_addr().unwrap(), Transport::MutualTls(client));
    give_up(&connection).await;
    give_up(&connection).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 2, "one attempt");
    drop(connection);
    tasks(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_which_no_request_waited_is_that_of_the_next_one() {
    keep_the_clock_still();
    // Nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connection = Connection::new(address, Transport::Plaintext);
    let is_io =
        |sent: Result<Response<Incoming>, SendError>| matches!(sent, Err(SendError::Connect(ConnectError::Io(_))));
    give_up(&connection).await;
    tasks(1).await;
    assert!(is_io(connection.send(&request()).await));
    assert_eq!(connection.slot().number, 1);
    // Each further request tries again, and so does the first one after an old failure.
    assert!(is_io(connection.send(&request()).await));
    assert_eq!(connection.slot().number, 2);
    give_up(&connection).await;
    tasks(1).await;
    tokio::time::advance(CONNECT_TIMEOUT).await;
    assert!(is_io(connection.send(&request()).await));
    assert_eq!(connection.slot().number, 4);
}
