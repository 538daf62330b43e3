//! Cases about the names that an authority may issue. The leaf has its id besides the names of a case.

use rcgen::{CertificateParams, CidrSubnet, GeneralSubtree, NameConstraints, SanType};

use crate::{
    Case,
    chains::{Chain, ID, as_usual, dns, element, extension, named, root, uri},
};

const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

pub const CASES: &[Case] = &[
    ("rfc5280::nc::permitted-dns-mismatch", false, || dns_names(&["example.com"], &[], &["not-example.com"])),
    ("rfc5280::nc::excluded-dns-match", false, || dns_names(&[], &["example.com"], &["example.com"])),
    ("rfc5280::nc::permitted-dns-match", true, || dns_names(&["example.com"], &[], &["example.com"])),
    ("rfc5280::nc::permitted-dns-match-more", true, || dns_names(&["example.com"], &[], &["foo.bar.example.com"])),
    ("rfc5280::nc::excluded-dns-match-second", false, || {
        dns_names(&[], &["example.com"], &["not-example.com", "example.com"])
    }),
    ("rfc5280::nc::excluded-match-permitted-and-excluded", false, || {
        dns_names(&["example.com"], &["example.com"], &["example.com"])
    }),
    ("rfc5280::nc::invalid-dnsname-wildcard", false, || dns_names(&["*.example.com"], &[], &["foo.example.com"])),
    ("rfc5280::nc::invalid-dnsname-leading-period", false, || dns_names(&[".example.com"], &[], &["foo.example.com"])),
    ("webpki::nc::nc-permits-dns-san-pattern", true, || dns_names(&["example.com"], &[], &["*.example.com"])),
    ("cve::cve-2025-61727", false, || dns_names(&["example.com"], &["bar.example.com"], &["*.example.com"])),
    ("cve::cve-2025-61727-nc-permits-variant", false, || dns_names(&["foo.example.com"], &[], &["*.example.com"])),
    ("webpki::nc::permitted-dns-match-noncritical", true, || {
        let root = root("root", |params| {
            let subtree = element(0x30, &element(0x82, b"example.com"));
            extension(params, NAME_CONSTRAINTS, &element(0x30, &element(0xa0, &subtree)), false);
        });
        Chain::new(&[&root], &[], root.leaf(as_usual))
    }),
    ("rfc5280::nc::permitted-ip-mismatch", false, || addresses(&[v4([192, 0, 2, 0], 24)], &[], [192, 0, 3, 1].into())),
    ("rfc5280::nc::permitted-ipv4-match", true, || addresses(&[v4([192, 0, 2, 0], 24)], &[], [192, 0, 2, 1].into())),
    ("rfc5280::nc::excluded-ipv4-match", false, || addresses(&[], &[v4([192, 0, 2, 0], 24)], [192, 0, 2, 1].into())),
    ("rfc5280::nc::permitted-ipv6-match", true, || {
        addresses(&[v6(64)], &[], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].into())
    }),
    ("rfc5280::nc::excluded-ipv6-match", false, || {
        addresses(&[], &[v6(64)], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].into())
    }),
    ("rfc5280::nc::invalid-ipv4-address", false, || invalid_address(&[127, 0, 0, 1], [127, 0, 0, 1].into())),
    ("rfc5280::nc::invalid-ipv6-address", false, || {
        let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        invalid_address(&address, address.into())
    }),
    ("rfc5280::nc::permitted-dn-mismatch", false, || directory_name(Some("other"), None)),
    ("rfc5280::nc::excluded-dn-match", false, || directory_name(None, Some("leaf"))),
    ("rfc5280::nc::permitted-dn-match", true, || directory_name(Some("leaf"), None)),
    ("rfc5280::nc::permitted-different-constraint-type", true, || {
        constrained(vec![GeneralSubtree::IpAddress(v4([192, 0, 2, 0], 24))], Vec::new(), vec![dns("example.com")])
    }),
    ("rfc5280::nc::excluded-different-constraint-type", true, || {
        constrained(Vec::new(), vec![GeneralSubtree::IpAddress(v4([192, 0, 2, 0], 24))], vec![dns("example.com")])
    }),
    ("rfc5280::nc::not-allowed-in-ee-critical", false, || constraint_in_leaf(true)),
    ("rfc5280::nc::not-allowed-in-ee-noncritical", false, || constraint_in_leaf(false)),
    ("rfc5280::nc::intermediate-with-san-rejected-by-intermediate-nc", false, || {
        let root = root("root", as_usual);
        let first = root.intermediate("first", constraints(&["permitted.example.com"], &["forbidden.example.com"]));
        let second =
            first.intermediate("second", |params| params.subject_alt_names = vec![dns("forbidden.example.com")]);
        Chain::new(&[&root], &[&first, &second], second.leaf(names(&["permitted.example.com"])))
    }),
    ("rfc5280::nc::intermediate-with-san-rejected-by-root-nc", false, || {
        let root = root("root", constraints(&["permitted.example.com"], &["forbidden.example.com"]));
        let first = root.intermediate("first", as_usual);
        let second =
            first.intermediate("second", |params| params.subject_alt_names = vec![dns("forbidden.example.com")]);
        Chain::new(&[&root], &[&first, &second], second.leaf(names(&["permitted.example.com"])))
    }),
    ("rfc5280::nc::restrictive-permits-in-intermediates-narrows", false, || {
        two_constraints(&["foo.example.com", "bar.example.com"], &["bar.example.com"])
    }),
    ("rfc5280::nc::restrictive-permits-in-intermediates-widens", false, || {
        two_constraints(&["bar.example.com"], &["foo.example.com", "bar.example.com"])
    }),
    ("rfc5280::nc::nc-forbids-alternate-chain-ica", true, || {
        let (discarded, root) = (root("discarded", as_usual), root("root", as_usual));
        let first = root.intermediate("first", constraints(&["permitted.example.com"], &["forbidden.example.com"]));
        let without_name = first.intermediate("second", as_usual);
        let with_name =
            discarded.cross_sign(&without_name, |params| params.subject_alt_names = vec![dns("forbidden.example.com")]);
        let leaf = without_name.leaf(names(&["permitted.example.com"]));
        Chain::new(&[&root], &[&first, &with_name, &without_name], leaf)
    }),
    ("rfc5280::nc::nc-forbids-same-chain-ica", true, || {
        let (root, other) = (root("root", as_usual), root("other root", as_usual));
        let first = root.intermediate("first", constraints(&[], &["forbidden.example.com"]));
        let forbidden =
            first.intermediate("second", |params| params.subject_alt_names = vec![dns("forbidden.example.com")]);
        let allowed = other
            .cross_sign(&forbidden, |params| params.subject_alt_names = vec![dns("unconstrained-ica.example.com")]);
        let leaf = forbidden.leaf(names(&["unconstrained.example.com"]));
        Chain::new(&[&root, &other], &[&first, &forbidden, &allowed], leaf)
    }),
    ("pathological::nc-dos-1", false, || {
        let many = |letter: char| (0..2_048).map(move |number| format!("{letter}{number}.test"));
        let subtrees = |letter: char| many(letter).map(GeneralSubtree::DnsName).collect::<Vec<_>>();
        let names: Vec<SanType> = many('t').map(|name| dns(&name)).collect();
        constrained(subtrees('t'), subtrees('x'), names)
    }),
];

/// Names of a leaf besides its id.
fn names(dns_names: &[&str]) -> impl FnOnce(&mut CertificateParams) + use<> {
    let names: Vec<SanType> = [uri(ID)].into_iter().chain(dns_names.iter().map(|name| dns(name))).collect();
    move |params: &mut CertificateParams| params.subject_alt_names = names
}

/// Constraints of DNS names.
fn constraints(permitted: &[&str], excluded: &[&str]) -> impl FnOnce(&mut CertificateParams) + use<> {
    let subtrees = |names: &[&str]| names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned())).collect();
    let constraints =
        NameConstraints { permitted_subtrees: subtrees(permitted), excluded_subtrees: subtrees(excluded) };
    move |params: &mut CertificateParams| params.name_constraints = Some(constraints)
}

fn dns_names(permitted: &[&str], excluded: &[&str], leaf: &[&str]) -> Chain {
    let root = root("root", constraints(permitted, excluded));
    Chain::new(&[&root], &[], root.leaf(names(leaf)))
}

/// A leaf with these names below a root with these constraints.
fn constrained(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>, names: Vec<SanType>) -> Chain {
    let constraints = NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded };
    let root = root("root", |params| params.name_constraints = Some(constraints));
    let names = [uri(ID)].into_iter().chain(names).collect();
    Chain::new(&[&root], &[], root.leaf(|params| params.subject_alt_names = names))
}

fn addresses(permitted: &[CidrSubnet], excluded: &[CidrSubnet], address: std::net::IpAddr) -> Chain {
    let subtrees = |networks: &[CidrSubnet]| networks.iter().copied().map(GeneralSubtree::IpAddress).collect();
    constrained(subtrees(permitted), subtrees(excluded), vec![SanType::IpAddress(address)])
}

fn v4(address: [u8; 4], prefix: u8) -> CidrSubnet {
    CidrSubnet::from_v4_prefix(address, prefix)
}

/// A prefix of 2001:db8::.
fn v6(prefix: u8) -> CidrSubnet {
    CidrSubnet::from_v6_prefix([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], prefix)
}

/// A constraint that is an address without a mask.
fn invalid_address(constraint: &[u8], address: std::net::IpAddr) -> Chain {
    let subtree = element(0x30, &element(0x87, constraint));
    let root = root("root", |params| {
        extension(params, NAME_CONSTRAINTS, &element(0x30, &element(0xa0, &subtree)), true);
    });
    let leaf = root.leaf(|params| params.subject_alt_names = vec![uri(ID), SanType::IpAddress(address)]);
    Chain::new(&[&root], &[], leaf)
}

fn directory_name(permitted: Option<&str>, excluded: Option<&str>) -> Chain {
    let subtrees = |name: Option<&str>| name.map(named).map(GeneralSubtree::DirectoryName).into_iter().collect();
    constrained(subtrees(permitted), subtrees(excluded), Vec::new())
}

fn constraint_in_leaf(is_critical: bool) -> Chain {
    let root = root("root", as_usual);
    let leaf = root.leaf(|params| {
        let subtree = element(0x30, &element(0x82, b"example.com"));
        extension(params, NAME_CONSTRAINTS, &element(0x30, &element(0xa0, &subtree)), is_critical);
    });
    Chain::new(&[&root], &[], leaf)
}

/// A leaf for foo.example.com below two intermediates that permit these names.
fn two_constraints(first: &[&str], second: &[&str]) -> Chain {
    let root = root("root", as_usual);
    let first = root.intermediate("first", constraints(first, &[]));
    let second = first.intermediate("second", constraints(second, &[]));
    Chain::new(&[&root], &[&first, &second], second.leaf(names(&["foo.example.com"])))
}
