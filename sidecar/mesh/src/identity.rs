//! Who the peer of a connection is: mutual TLS with certificates that name ServiceAccounts.
//!
//! ```text
//!  credentials.pem ─► ValidCredentials ─┐            ┌─► ServerTls: any caller that is admitted
//!                                       ├─► Identity ┤
//!  anchors.pem ─────► TrustAnchors ─────┘            └─► ClientTls: the serving pods of one Recommender
//! ```
//!
//! Files are the only interface: who writes them (kubelet, a CSI driver) is not known here. They
//! are read again at an interval, never in a handshake, and the last good content is kept. `verify`
//! is the only place that decides about a certificate; the search for a chain to an anchor is that
//! of webpki.

mod anchors;
mod connection_age;
mod credentials;
mod current;
mod facts;
mod file;
mod handshake;
mod late_refusal;
mod refusal;
mod spiffe_id;
mod tls;
mod validity;
mod verifier;
mod verify;

pub use anchors::TrustAnchors;
pub use credentials::{Purpose, ValidCredentials};
pub use current::{Identity, IdentityFile, IdentityObserver, IdentityPaths, IdentitySettings, Reload};
pub use file::FileError;
pub use handshake::{Established, Refused};
pub use late_refusal::{LateRefusal, Watched};
pub use refusal::Refusal;
pub use rustls::{pki_types::UnixTime, time_provider::TimeProvider};
pub use spiffe_id::{SpiffeId, SpiffeIdError, Workload};
pub use tls::{ClientTls, ServerTls};
pub use validity::Validity;
pub use verifier::Admission;
pub use verify::{Peer, verify};
