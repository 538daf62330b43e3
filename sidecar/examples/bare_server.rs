//! An HTTP/1.1 server that does nothing but what any server of such requests must do: it reads the
//! whole body and sends the same response each time, with the headers of an answer. It shows which
//! part of the time of an answer is the sidecar's own. `tests/bench/answers/http` starts it.
//!
//! usage: bare_server ADDRESS shared|per-thread THREADS BODY_BYTES

#![allow(clippy::unwrap_used, clippy::panic)] // A benchmark may panic.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Builder,
};

/// Length of the queue of connections that wait to be accepted.
const BACKLOG: u32 = 1024;
const REVISION: &str = "0123456789";
const REQUEST_ID: &str = "01890000-0000-7000-8000-000000000000";

async fn serve(listener: TcpListener, body: Bytes) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let body = body.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = body.clone();
            async move {
                // A request whose body ends early has no response.
                let _ = request.into_body().collect().await;
                let mut response = Response::new(Full::new(body));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert("x-model-revision", HeaderValue::from_static(REVISION));
                headers.insert("x-request-id", HeaderValue::from_static(REQUEST_ID));
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        drop(tokio::spawn(connection));
    }
}

/// A listener that shares its port with others.
fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, runtime, threads, body_bytes] = arguments.as_slice() else {
        panic!("usage: bare_server ADDRESS shared|per-thread THREADS BODY_BYTES");
    };
    let (address, threads): (SocketAddr, usize) = (address.parse().unwrap(), threads.parse().unwrap());
    let body = Bytes::from(vec![b' '; body_bytes.parse().unwrap()]);
    if runtime == "shared" {
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        // Connections are accepted by a worker, as by the sidecar.
        let accepting = runtime.spawn(async move { serve(listen(address), body).await });
        runtime.block_on(accepting).unwrap();
        return;
    }
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let body = body.clone();
            std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move { serve(listen(address), body).await });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
