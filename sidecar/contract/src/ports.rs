//! Port numbers and names, and the addresses of listeners; used in pod templates, Services and
//! servers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Application port of the sidecar: `POST /recommend` and the other endpoints of the API.
pub const APP: u16 = 8080;
/// Name of [`APP`] in pods and services.
pub const APP_NAME: &str = "http";
/// Port of the sidecar for mutual TLS: the same endpoints, for callers with a certificate.
pub const MESH: u16 = 8443;
/// Name of [`MESH`] in pods and services.
pub const MESH_NAME: &str = "mesh";
/// Admin port of every process: probes and metrics; never shares a listener with [`APP`].
pub const ADMIN: u16 = 9090;
/// Name of [`ADMIN`] in pods and services.
pub const ADMIN_NAME: &str = "metrics";
/// Application port of an app's own sidecar, on the loopback address.
pub const PROXY: u16 = 8088;
/// Admin port of an app's own sidecar: probes and metrics.
pub const PROXY_ADMIN: u16 = 9098;
/// Name of [`PROXY_ADMIN`] in pods.
pub const PROXY_ADMIN_NAME: &str = "recmesh-metrics";
/// S3 port of the embedded store.
pub const STORE: u16 = 9000;
/// Name of [`STORE`] in pods and services.
pub const STORE_NAME: &str = "s3";

/// The address of a listener for all addresses of a pod, of IPv6 and of IPv4.
pub fn any_address(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

/// The addresses that a listener tries in order. A node without IPv6 has no `[::]`, which stands
/// for all addresses; there it is replaced by that of IPv4.
pub fn listen_candidates(address: SocketAddr) -> Vec<SocketAddr> {
    let mut candidates = vec![address];
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        candidates.push((Ipv4Addr::UNSPECIFIED, address.port()).into());
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_for_all_has_an_alternative() {
        let texts = |address: &str| {
            let candidates = listen_candidates(address.parse().unwrap());
            candidates.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(texts(&any_address(APP).to_string()), ["[::]:8080", "0.0.0.0:8080"]);
        for address in ["0.0.0.0:80", "127.0.0.1:80", "[::1]:80"] {
            assert_eq!(texts(address), [address]);
        }
    }
}
