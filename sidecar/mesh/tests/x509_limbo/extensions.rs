//! Cases about the extensions and the form of single certificates.

use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber};

use crate::{
    Case,
    chains::{Chain, ID, as_usual, element, extension, root, unknown_critical},
};

const SUBJECT_ALTERNATIVE_NAME: &[u64] = &[2, 5, 29, 17];
const SUBJECT_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 14];
const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const AUTHORITY_INFORMATION_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

pub const CASES: &[Case] = &[
    ("rfc5280::unknown-critical-extension-ee", false, || leaf(unknown_critical)),
    ("rfc5280::unknown-critical-extension-root", false, || anchor(unknown_critical)),
    ("rfc5280::unknown-critical-extension-intermediate", false, || {
        let root = root("root", as_usual);
        let intermediate = root.intermediate("intermediate", unknown_critical);
        Chain::new(&[&root], &[&intermediate], intermediate.leaf(as_usual))
    }),
    ("rfc5280::unknown-critical-extension-unrelated-root", true, || {
        let (root, unrelated) = (root("root", as_usual), root("unrelated root", unknown_critical));
        Chain::new(&[&root, &unrelated], &[], root.leaf(as_usual))
    }),
    ("rfc5280::unknown-critical-extension-unrelated-intermediate", true, || {
        let root = root("root", as_usual);
        let intermediate = root.intermediate("intermediate", as_usual);
        let unrelated = root.intermediate("unrelated intermediate", unknown_critical);
        Chain::new(&[&root], &[&intermediate, &unrelated], intermediate.leaf(as_usual))
    }),
    ("rfc5280::root-non-critical-basic-constraints", false, || {
        anchor(|params| {
            params.is_ca = IsCa::NoCa;
            extension(params, BASIC_CONSTRAINTS, &element(0x30, &element(0x01, &[0xff])), false);
        })
    }),
    ("rfc5280::ca-empty-subject", false, || anchor(|params| params.distinguished_name = DistinguishedName::new())),
    ("rfc5280::leaf-ku-keycertsign", false, || leaf(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign))),
    ("rfc5280::ee-aia", true, || {
        leaf(|params| extension(params, AUTHORITY_INFORMATION_ACCESS, &issuer_access(), false))
    }),
    ("rfc5280::ee-critical-aia-invalid", false, || {
        leaf(|params| extension(params, AUTHORITY_INFORMATION_ACCESS, &issuer_access(), true))
    }),
    ("rfc5280::duplicate-extensions", false, || {
        leaf(|params| extension(params, SUBJECT_ALTERNATIVE_NAME, &element(0x30, &element(0x86, ID.as_bytes())), false))
    }),
    ("rfc5280::no-keyusage", true, || leaf(|params| params.key_usages.clear())),
    ("rfc5280::no-basicconstraints", true, || leaf(|params| params.is_ca = IsCa::NoCa)),
    ("rfc5280::mismatching-signature-algorithm", false, || {
        let root = root("root", as_usual);
        let leaf = root.leaf(as_usual);
        // The inner one of the two algorithms becomes ecdsa-with-SHA384.
        let leaf = root.sign_changed(&leaf, |fields| *fields[2].last_mut().unwrap() = 3);
        Chain::new(&[&root], &[], leaf)
    }),
    ("rfc5280::san::malformed", false, || {
        leaf(|params| {
            params.subject_alt_names.clear();
            extension(params, SUBJECT_ALTERNATIVE_NAME, ID.as_bytes(), false);
        })
    }),
    ("rfc5280::san::noncritical-with-empty-subject", false, || {
        leaf(|params| {
            params.distinguished_name = DistinguishedName::new();
            params.subject_alt_names.clear();
            extension(params, SUBJECT_ALTERNATIVE_NAME, &element(0x30, &element(0x86, ID.as_bytes())), false);
        })
    }),
    ("webpki::san::no-san", false, || leaf(|params| params.subject_alt_names.clear())),
    ("webpki::san::san-critical-with-nonempty-subject", true, || {
        leaf(|params| {
            params.subject_alt_names.clear();
            extension(params, SUBJECT_ALTERNATIVE_NAME, &element(0x30, &element(0x86, ID.as_bytes())), true);
        })
    }),
    ("rfc5280::eku::ee-wrong-eku", false, || {
        leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }),
    ("rfc5280::eku::ee-without-eku", true, || leaf(|params| params.extended_key_usages.clear())),
    ("webpki::eku::ee-without-eku", false, || leaf(|params| params.extended_key_usages.clear())),
    ("rfc5280::eku::ee-eku-empty", false, || {
        leaf(|params| {
            params.extended_key_usages.clear();
            extension(params, EXTENDED_KEY_USAGE, &element(0x30, &[]), false);
        })
    }),
    ("webpki::eku::ee-anyeku", false, || leaf(|params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::Any))),
    ("webpki::eku::root-has-eku", false, || {
        anchor(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }),
    ("rfc5280::serial::zero", false, || leaf(|params| params.serial_number = Some(SerialNumber::from_slice(&[0])))),
    ("rfc5280::serial::too-long", false, || {
        leaf(|params| params.serial_number = Some(SerialNumber::from_slice(&[0x55; 22])))
    }),
    ("rfc5280::serial::negative", false, || {
        let root = root("root", as_usual);
        let leaf = root.sign_changed(&root.leaf(as_usual), |fields| fields[1] = element(0x02, &[0xf0]));
        Chain::new(&[&root], &[], leaf)
    }),
    ("rfc5280::aki::critical-aki", false, || {
        anchor(|params| {
            params.use_authority_key_identifier_extension = false;
            extension(params, AUTHORITY_KEY_IDENTIFIER, &element(0x30, &element(0x80, &[1; 20])), true);
        })
    }),
    ("rfc5280::aki::leaf-missing-aki", false, || leaf(|params| params.use_authority_key_identifier_extension = false)),
    ("rfc5280::aki::intermediate-missing-aki", false, || {
        let root = root("root", as_usual);
        let without = |params: &mut CertificateParams| params.use_authority_key_identifier_extension = false;
        let intermediate = root.intermediate("intermediate", without);
        Chain::new(&[&root], &[&intermediate], intermediate.leaf(as_usual))
    }),
    ("rfc5280::aki::self-signed-root-missing-aki", true, || {
        anchor(|params| params.use_authority_key_identifier_extension = false)
    }),
    ("rfc5280::ski::critical-ski", false, || {
        anchor(|params| {
            params.is_ca = IsCa::NoCa;
            extension(params, BASIC_CONSTRAINTS, &element(0x30, &element(0x01, &[0xff])), true);
            extension(params, SUBJECT_KEY_IDENTIFIER, &element(0x04, &[1; 20]), true);
        })
    }),
    ("rfc5280::ski::root-missing-ski", false, || anchor(without_subject_key_identifier)),
    ("rfc5280::ski::intermediate-missing-ski", false, || {
        let root = root("root", as_usual);
        let intermediate = root.intermediate("intermediate", without_subject_key_identifier);
        Chain::new(&[&root], &[&intermediate], intermediate.leaf(as_usual))
    }),
    ("webpki::v1-cert", false, || {
        let root = root("root", as_usual);
        let leaf = root.sign_changed(&root.leaf(as_usual), |fields| drop(fields.remove(0)));
        Chain::new(&[&root], &[], leaf)
    }),
    ("webpki::v1-cert (without extensions)", false, || {
        let root = root("root", as_usual);
        let leaf = root.sign_changed(&root.leaf(as_usual), |fields| {
            drop(fields.remove(0));
            drop(fields.pop());
        });
        Chain::new(&[&root], &[], leaf)
    }),
    ("webpki::ee-basicconstraints-ca", false, || {
        leaf(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
    }),
];

/// A changed leaf.
fn leaf(change: fn(&mut CertificateParams)) -> Chain {
    let root = root("root", as_usual);
    Chain::new(&[&root], &[], root.leaf(change))
}

/// A leaf below a changed anchor.
fn anchor(change: fn(&mut CertificateParams)) -> Chain {
    let root = root("root", change);
    Chain::new(&[&root], &[], root.leaf(as_usual))
}

/// rcgen adds the identifier with its own form of the constraints.
fn without_subject_key_identifier(params: &mut CertificateParams) {
    params.is_ca = IsCa::NoCa;
    extension(params, BASIC_CONSTRAINTS, &element(0x30, &element(0x01, &[0xff])), true);
}

/// Where the certificate of the issuer is.
fn issuer_access() -> Vec<u8> {
    let issuers = element(0x06, &[0x2b, 6, 1, 5, 5, 7, 48, 2]);
    element(0x30, &element(0x30, &[issuers, element(0x82, b"example.com")].concat()))
}
