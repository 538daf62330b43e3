//! Tests of the serving process from a client's view, without sockets where possible.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may panic.

mod answerers; // a second kind of answerer behind the same endpoints
mod attacks;
mod auto; // clients that try to confuse, block or exhaust the server
mod bad_requests; // rejected requests, and the generated table in the docs
mod batch; // lists of all users in a bucket, and crashes at each write
mod capacity; // a snapshot that does not fit into memory
mod catalogue; // filters, candidates, pages, and the search of items
mod catalogue_refresh;
mod catalogue_rollout; // refreshes while revisions change
mod catalogue_swaps; // when the follower swaps catalogues, and when it must not
mod clients; // requests as clients in use send them
mod composition; // a Recommender that is made of others
mod corruption; // damaged snapshots in the store and in the pod
mod crash; // termination during a model load
mod crashing_store; // a store during whose n-th write the process dies
mod flask_shop; // the app of an example
mod follower; // when the follower swaps models, and when it must not
mod h2spec; // the conformance test of HTTP/2
mod http; // endpoints, responses, errors
mod http2_frames; // an HTTP/2 client that waits for ever
mod lifecycle; // the process: swap under load, limits, metrics text, SIGTERM
mod list_cache; // equal answers with and without the cache
mod local_mode; // an app's sidecar that holds the model
mod mesh_peer; // a client that presents any certificate
mod mixed_identity; // a certificate on one side only
mod model; // a small model to serve
mod mutual_tls; // who is answered over mutual TLS, and who is refused
mod newer_operator; // training configs of a newer operator
mod openapi; // schemathesis against the OpenAPI document
#[cfg(feature = "otlp")]
mod otlp; // spans of a request, as a collector receives them
mod pending; // a request whose client goes away
mod privacy; // no user ids in logs and metrics
mod process; // the real binary
mod proxy; // an app's sidecar, with serving pods that fail
mod python; // the public safetensors package and numpy
mod ratings; // a model of explicit ratings: its scores, and ratings in requests
mod recommend_all; // the lists of all users in a file
mod reports; // the run report
mod rotation; // certificates and trust anchors that change under load
mod served_file; // a model file that is overwritten
mod sockets; // hostile and broken clients
mod suggest; // resources for data files
mod swaps; // one revision per response
mod tls_scan; // the port for mutual TLS as a scanner sees it
