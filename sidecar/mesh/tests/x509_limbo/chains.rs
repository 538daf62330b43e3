//! Certificate chains of every form, as changes of a valid one.

use std::rc::Rc;

use mesh::identity::{Peer, Purpose, Refusal, TrustAnchors, UnixTime, verify};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SigningKey as _, date_time_ymd,
};
use rustls::{crypto::ring, pki_types::CertificateDer};

/// A time at which the certificates are valid: 2027-01-15.
pub const NOW: u64 = 1_800_000_000;
/// Id in leaves.
pub const ID: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// A change of the parameters of a certificate.
pub trait Change: FnOnce(&mut CertificateParams) {}
impl<F: FnOnce(&mut CertificateParams)> Change for F {}

/// No change.
pub fn as_usual(_: &mut CertificateParams) {}

/// A certificate and its key, which may issue others.
#[derive(Clone)]
pub struct Node {
    params: CertificateParams,
    key: Rc<KeyPair>,
    /// The certificate as PEM.
    pub pem: String,
    /// The certificate as DER.
    pub der: Vec<u8>,
}

/// What a verifier gets.
pub struct Chain {
    /// Trusted certificates.
    pub anchors: Vec<Node>,
    /// Certificates that are sent with the leaf.
    pub intermediates: Vec<Vec<u8>>,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Seconds since 1970.
    pub now: u64,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2028, 1, 1));
    params
}

/// A name that consists of a common name.
pub fn named(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn new_key() -> Rc<KeyPair> {
    Rc::new(KeyPair::generate().unwrap())
}

/// A root.
pub fn root(name: &str, change: impl Change) -> Node {
    let (mut params, key) = (authority(name), new_key());
    change(&mut params);
    let certificate = params.self_signed(&*key).unwrap();
    Node { pem: certificate.pem(), der: certificate.der().to_vec(), params, key }
}

/// Path length and no other change.
pub fn path_length(length: u8) -> impl Change {
    move |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length))
}

impl Node {
    /// A certificate for a key, issued by this node.
    fn issue(&self, params: CertificateParams, key: Rc<KeyPair>) -> Self {
        let certificate = params.signed_by(&*key, &Issuer::from_params(&self.params, &*self.key)).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().to_vec(), params, key }
    }

    /// An authority with a new key.
    pub fn intermediate(&self, name: &str, change: impl Change) -> Self {
        let mut params = authority(name);
        change(&mut params);
        self.issue(params, new_key())
    }

    /// A second certificate for the name and the key of another authority.
    pub fn cross_sign(&self, other: &Self, change: impl Change) -> Self {
        let mut params = other.params.clone();
        change(&mut params);
        self.issue(params, Rc::clone(&other.key))
    }

    /// A leaf for both sides of a connection, with a DNS name besides its id.
    pub fn leaf(&self, change: impl Change) -> Vec<u8> {
        let mut params = params("leaf");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri(ID), dns("example.com")];
        change(&mut params);
        self.issue(params, new_key()).der
    }

    /// The same authority under another name.
    pub fn renamed(&self, name: DistinguishedName) -> Self {
        let mut node = self.clone();
        node.params.distinguished_name = name;
        node
    }

    /// Signs a changed certificate again.
    pub fn sign_changed(&self, certificate: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
        let [tbs, algorithm, _]: [Vec<u8>; 3] = elements(content(certificate)).try_into().unwrap();
        let mut fields = elements(content(&tbs));
        change(&mut fields);
        let tbs = element(0x30, &fields.concat());
        let signature = [&[0][..], &self.key.sign(&tbs).unwrap()].concat();
        element(0x30, &[tbs, algorithm, element(0x03, &signature)].concat())
    }
}

impl Chain {
    /// A chain that is sent as it is.
    pub fn new(anchors: &[&Node], intermediates: &[&Node], leaf: Vec<u8>) -> Self {
        let anchors = anchors.iter().map(|node| (*node).clone()).collect();
        let intermediates = intermediates.iter().map(|node| node.der.clone()).collect();
        Self { anchors, intermediates, leaf, now: NOW }
    }

    /// Our decision, as that of a server about a client. `None`: the anchors cannot be used.
    pub fn verify(&self) -> Option<Result<Peer, Refusal>> {
        let anchors: String = self.anchors.iter().map(|node| node.pem.as_str()).collect();
        let anchors = TrustAnchors::parse(anchors.as_bytes()).ok()?;
        let chain: Vec<_> = self.intermediates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let (leaf, algorithms) = (CertificateDer::from(self.leaf.as_slice()), ring::default_provider());
        let algorithms = algorithms.signature_verification_algorithms;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.now));
        Some(verify(&leaf, &chain, &anchors, "cluster.local", Purpose::Client, now, &algorithms))
    }
}

/// A URI among the names of a certificate.
pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A DNS name among the names of a certificate.
pub fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// An extension that no implementation knows, by the object identifier of x509-limbo.
pub fn unknown_critical(params: &mut CertificateParams) {
    extension(params, &[1, 3, 6, 1, 4, 1, 55738, 666, 1], &element(0x05, &[]), true);
}

/// Adds an extension.
pub fn extension(params: &mut CertificateParams, oid: &[u64], content: &[u8], is_critical: bool) {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(is_critical);
    params.custom_extensions.push(extension);
}

/// An element of DER.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..128 => vec![u8::try_from(short).unwrap()],
        long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    [&[tag][..], &length, content].concat()
}

/// The content of an element, and its length with the head.
fn parse(der: &[u8]) -> (&[u8], usize) {
    let (head, length) = match der[1] {
        short @ ..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        other => panic!("a length of {other:#x}"),
    };
    (&der[head..head + length], head + length)
}

/// The content of an element.
fn content(der: &[u8]) -> &[u8] {
    parse(der).0
}

/// The elements of a sequence's content.
fn elements(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (_, length) = parse(rest);
        elements.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    elements
}
