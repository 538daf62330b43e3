//! How a user's store or source is reached: private certificate authorities and a proxy, which the
//! Secret may name for every scheme. The embedded store has neither.

use reqwest::{Certificate, Client, ClientBuilder, Proxy};

use crate::{BucketSecret, StoreCredentials, StoreError};

/// Certificates in PEM that are trusted in addition to those of the system.
pub(crate) const CA_CERTIFICATES: &str = "CA_CERTIFICATES";
/// Proxy of all requests: `http://proxy.example.com:3128`.
pub(crate) const PROXY_URL: &str = "PROXY_URL";
/// Keys of a Secret that every scheme allows.
pub(crate) const KEYS: [&str; 2] = [CA_CERTIFICATES, PROXY_URL];

/// Certificate authorities and proxies.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    certificates: Vec<Certificate>,
    proxy: ProxyChoice,
}

#[derive(Clone, Debug)]
enum ProxyChoice {
    /// None: the store is in the cluster.
    None,
    /// Those of the environment variables.
    Environment,
    /// The one that the Secret names.
    Url(Box<Proxy>),
}

impl Transport {
    /// The transport for these credentials. An access key is one of the embedded store.
    ///
    /// # Errors
    /// Names the Secret, the key and the expected value.
    pub(crate) fn of(credentials: Option<&StoreCredentials>) -> Result<Self, StoreError> {
        let secret = match credentials {
            Some(StoreCredentials::AccessKey { .. }) => {
                return Ok(Self { certificates: Vec::new(), proxy: ProxyChoice::None });
            }
            None => return Ok(Self { certificates: Vec::new(), proxy: ProxyChoice::Environment }),
            Some(StoreCredentials::Secret(secret)) => secret,
        };
        let certificates = match secret.get(CA_CERTIFICATES) {
            None => Vec::new(),
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes())
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or_else(|| no_certificate(secret))?,
        };
        let proxy = match secret.get(PROXY_URL) {
            None => ProxyChoice::Environment,
            Some(url) => ProxyChoice::Url(Box::new(Proxy::all(url).map_err(|_| no_proxy_url(secret))?)),
        };
        Ok(Self { certificates, proxy })
    }

    /// Starts a client that uses both.
    pub(crate) fn client(&self) -> ClientBuilder {
        let builder = Client::builder().tls_certs_merge(self.certificates.iter().cloned());
        match &self.proxy {
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Environment => builder,
            ProxyChoice::Url(proxy) => builder.proxy(Proxy::clone(proxy)),
        }
    }
}

fn no_certificate(secret: &BucketSecret) -> StoreError {
    StoreError::Config(format!(
        "Secret {}: {CA_CERTIFICATES} has no certificate; expected PEM text, which starts with -----BEGIN CERTIFICATE-----",
        secret.name
    ))
}

fn no_proxy_url(secret: &BucketSecret) -> StoreError {
    StoreError::Config(format!(
        "Secret {}: {PROXY_URL} is not a URL; expected http://<host>:<port>, such as http://proxy.example.com:3128",
        secret.name
    ))
}
