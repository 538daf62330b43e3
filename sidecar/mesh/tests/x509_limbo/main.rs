//! Our decisions about certificates, compared with the cases of x509-limbo (github.com/C2SP/x509-limbo)
//! that apply to a leaf with a SPIFFE id. The chains are built here as its cases describe them, under
//! their names. Cases about host names, revocation, RSA and DSA keys, and a depth that the verifier is
//! given do not apply.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test may panic.

mod chains;
mod extensions;
mod name_constraints;
mod paths;

use std::collections::BTreeSet;

use chains::Chain;

/// A case: its name, whether x509-limbo expects that the chain is accepted, and the chain.
type Case = (&'static str, bool, fn() -> Chain);

/// Cases in which ours is stricter, and why.
const STRICTER: &[(&str, &str)] = &[
    ("pathlen::validation-ignores-pathlen-in-leaf", "a leaf must not be that of a CA"),
    ("pathlen::self-issued-certs-pathlen", "webpki counts self-issued certificates, too"),
    ("rfc5280::eku::ee-without-eku", "a leaf must state for which side of a connection it is"),
    ("rfc5280::nc::permitted-dn-match", "webpki does not evaluate directory names, so they match no constraint"),
];

/// Cases in which ours accepts what a profile forbids to issue, and why.
const LENIENT: &[(&str, &str)] = &[
    ("rfc5280::unknown-critical-extension-root", ANCHOR),
    ("rfc5280::root-non-critical-basic-constraints", ANCHOR),
    ("rfc5280::ca-empty-subject", ANCHOR),
    ("rfc5280::aki::critical-aki", ANCHOR),
    ("rfc5280::ski::critical-ski", ANCHOR),
    ("rfc5280::ski::root-missing-ski", ANCHOR),
    ("webpki::eku::root-has-eku", ANCHOR),
    ("rfc5280::aki::leaf-missing-aki", IDENTIFIER),
    ("rfc5280::aki::intermediate-missing-aki", IDENTIFIER),
    ("rfc5280::ski::intermediate-missing-ski", IDENTIFIER),
    ("rfc5280::serial::zero", IDENTIFIER),
    ("rfc5280::serial::too-long", IDENTIFIER),
    ("rfc5280::serial::negative", IDENTIFIER),
    ("rfc5280::san::noncritical-with-empty-subject", "only the names in the extension are read, never the subject"),
    ("webpki::eku::ee-anyeku", "the usage that is required is there, too"),
    ("rfc5280::nc::invalid-dnsname-leading-period", "webpki takes the period as subdomains only, which is stricter"),
    ("rfc5280::nc::not-allowed-in-ee-critical", "constraints of a leaf apply to nothing: it issues nothing"),
    ("rfc5280::nc::not-allowed-in-ee-noncritical", "constraints of a leaf apply to nothing: it issues nothing"),
];
const ANCHOR: &str =
    "whoever writes the file of the anchors vouches for them; their key, name, period and right to issue count";
const IDENTIFIER: &str = "it helps to find a path or to revoke, and decides nothing";

#[test]
fn cases_are_decided_as_by_x509_limbo() {
    let names_of = |cases: &[(&'static str, _)]| cases.iter().map(|(name, _): &(_, &str)| *name).collect();
    let (stricter, lenient): (BTreeSet<&str>, BTreeSet<&str>) = (names_of(STRICTER), names_of(LENIENT));
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for (name, is_valid, chain) in [paths::CASES, extensions::CASES, name_constraints::CASES].concat() {
        assert!(names.insert(name), "{name} is there twice");
        let expected = if is_valid { !stricter.contains(name) } else { lenient.contains(name) };
        let ours = chain().verify();
        if ours.as_ref().is_some_and(Result::is_ok) != expected {
            wrong.push(format!("{name}: expected {expected}, ours {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let excepted: BTreeSet<&str> = stricter.union(&lenient).copied().collect();
    assert!(excepted.is_subset(&names), "{:?}: no such case", excepted.difference(&names));
    assert!(names.len() >= 100, "{} cases", names.len());
}
