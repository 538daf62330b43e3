//! Cases about the path from a leaf to an anchor: its length, its periods, and other paths beside it.

use rcgen::{DistinguishedName, IsCa, KeyUsagePurpose, date_time_ymd};

use crate::{
    Case,
    chains::{Chain, Node, as_usual, named, path_length, root, uri},
};

/// 2027-03-01 as seconds since 1970, the first or the last second of some certificates.
const MARCH: u64 = 1_803_859_200;

pub const CASES: &[Case] = &[
    ("pathlen::ee-with-intermediate-pathlen-0", true, || below(&[0])),
    ("pathlen::ee-with-intermediate-pathlen-1", true, || below(&[1])),
    ("pathlen::ee-with-intermediate-pathlen-2", true, || below(&[2])),
    ("pathlen::intermediate-violates-pathlen-0", false, || below(&[0, 0])),
    ("pathlen::intermediate-pathlen-may-increase", true, || below(&[1, 2])),
    ("pathlen::intermediate-pathlen-too-long", false, || below(&[1, 0, 0])),
    ("pathlen::validation-ignores-pathlen-in-leaf", true, || {
        let root = root("root", as_usual);
        let intermediate = root.intermediate("intermediate", path_length(0));
        let leaf = intermediate.leaf(|params| {
            path_length(0)(params);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        });
        Chain::new(&[&root], &[&intermediate], leaf)
    }),
    ("pathlen::self-issued-certs-pathlen", true, || {
        let root = root("root", as_usual);
        let first = root.intermediate("intermediate", path_length(1));
        let second = first.intermediate("intermediate", path_length(1));
        let third = second.intermediate("other", path_length(0));
        Chain::new(&[&root], &[&first, &second, &third], third.leaf(as_usual))
    }),
    ("rfc5280::validity::expired-root", false, || periods([(2016, 2020), (2016, 2030), (2026, 2028)])),
    ("rfc5280::validity::expired-intermediate", false, || periods([(2016, 2030), (2016, 2020), (2026, 2028)])),
    ("rfc5280::validity::expired-leaf", false, || periods([(2016, 2030), (2016, 2030), (2018, 2021)])),
    ("rfc5280::validity::notbefore-exact", true, || in_march(0, true)),
    ("rfc5280::validity::notafter-exact", true, || in_march(0, false)),
    // Ours tolerates a minute, so that the limits are those of x509-limbo and a minute.
    ("rfc5280::validity::not-yet-valid-1-second", false, || in_march(-61, true)),
    ("rfc5280::validity::not-yet-valid-5-seconds", false, || in_march(-65, true)),
    ("rfc5280::validity::expired-1-second", false, || in_march(61, false)),
    ("rfc5280::validity::expired-5-seconds", false, || in_march(65, false)),
    ("rfc5280::chain-untrusted-root", false, || {
        let (root, unrelated) = (root("root", as_usual), root("unrelated root", as_usual));
        let intermediate = root.intermediate("intermediate", path_length(0));
        Chain::new(&[&unrelated], &[&root, &intermediate], intermediate.leaf(as_usual))
    }),
    ("rfc5280::root-and-intermediate-swapped", true, || {
        let root = root("root", as_usual);
        let intermediate = root.intermediate("intermediate", as_usual);
        Chain::new(&[&intermediate], &[&root], intermediate.leaf(as_usual))
    }),
    ("rfc5280::ee-empty-issuer", false, || {
        let root = root("root", as_usual);
        Chain::new(&[&root], &[], root.renamed(DistinguishedName::new()).leaf(as_usual))
    }),
    ("rfc5280::intermediate-ca-without-ca-bit", false, || {
        with_intermediate(|params| params.is_ca = IsCa::ExplicitNoCa)
    }),
    ("rfc5280::intermediate-ca-missing-basic-constraints", false, || {
        with_intermediate(|params| params.is_ca = IsCa::NoCa)
    }),
    ("rfc5280::ica-ku-keycertsign", false, || {
        with_intermediate(|params| {
            path_length(0)(params);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        })
    }),
    ("rfc5280::root-inconsistent-ca-extensions", false, || {
        let root = root("root", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
        Chain::new(&[&root], &[], root.leaf(as_usual))
    }),
    ("rfc5280::root-missing-basic-constraints", false, || {
        let root = root("root", |params| params.is_ca = IsCa::NoCa);
        Chain::new(&[&root], &[], root.leaf(as_usual))
    }),
    ("webpki::ca-as-leaf", false, || {
        let root = root("root", as_usual);
        let leaf = root.intermediate("intermediate", |params| params.subject_alt_names = vec![uri(crate::chains::ID)]);
        Chain::new(&[&root], &[], leaf.der)
    }),
    ("pathological::multiple-chains-expired-intermediate", true, || {
        let (root, second) = (root("root", as_usual), root("second root", as_usual));
        let expired = second.cross_sign(&root, |params| params.not_after = date_time_ymd(2026, 2, 1));
        Chain::new(&[&root, &second], &[&expired], root.leaf(as_usual))
    }),
    ("pathological::intermediate-cycle-distinct-cas", false, || {
        let (first, second) = (root("first", as_usual), root("second", as_usual));
        let (first_by_second, second_by_first) =
            (second.cross_sign(&first, as_usual), first.cross_sign(&second, as_usual));
        Chain::new(&[&root("root", as_usual)], &[&first_by_second, &second_by_first], first.leaf(as_usual))
    }),
    ("pathological::intermediate-cycle-same-logical-ca", false, || {
        let (first, second) = (root("authority", as_usual), root("authority", as_usual));
        let (first_by_second, second_by_first) =
            (second.cross_sign(&first, as_usual), first.cross_sign(&second, as_usual));
        Chain::new(&[&root("root", as_usual)], &[&first_by_second, &second_by_first], first.leaf(as_usual))
    }),
    ("pathological::pathological-chain-distinct-subject-distinct-key", false, || without_root(100, false, false)),
    ("pathological::pathological-chain-same-subject-distinct-key", false, || without_root(100, true, false)),
    ("pathological::pathological-chain-distinct-subject-same-key", false, || without_root(100, false, true)),
    ("pathological::pathological-chain-same-subject-same-key", false, || without_root(100, true, true)),
    // As many as ours takes, so that the search is reached.
    ("pathological::pathological-chain-same-subject-same-key (7 certificates)", false, || without_root(7, true, true)),
    ("cve::cve-2024-0567", false, || {
        // Two authorities that cross-sign each other, and a third that no anchor issued.
        let (first, second, third) = (root("a", as_usual), root("b", as_usual), root("c", as_usual));
        let all = [
            second.cross_sign(&first, as_usual),
            first.cross_sign(&second, as_usual),
            third.cross_sign(&second, as_usual),
        ];
        Chain::new(&[&root("root", as_usual)], &all.each_ref(), first.leaf(as_usual))
    }),
];

/// A leaf below intermediates with these path lengths.
fn below(lengths: &[u8]) -> Chain {
    let root = root("root", as_usual);
    let mut path: Vec<Node> = Vec::new();
    for (length, number) in lengths.iter().zip(1..) {
        let parent = path.last().unwrap_or(&root);
        path.push(parent.intermediate(&format!("intermediate {number}"), path_length(*length)));
    }
    let leaf = path.last().unwrap_or(&root).leaf(as_usual);
    Chain::new(&[&root], &path.iter().collect::<Vec<_>>(), leaf)
}

/// A leaf below a changed intermediate.
fn with_intermediate(change: fn(&mut rcgen::CertificateParams)) -> Chain {
    let root = root("root", as_usual);
    let intermediate = root.intermediate("intermediate", change);
    Chain::new(&[&root], &[&intermediate], intermediate.leaf(as_usual))
}

/// First and last year of root, intermediate and leaf.
fn periods([first, second, third]: [(i32, i32); 3]) -> Chain {
    let period = |(begin, end): (i32, i32)| {
        move |params: &mut rcgen::CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(begin, 1, 1), date_time_ymd(end, 1, 1));
        }
    };
    let root = root("root", period(first));
    let intermediate = root.intermediate("intermediate", period(second));
    Chain::new(&[&root], &[&intermediate], intermediate.leaf(period(third)))
}

/// All certificates begin or end in March; the time differs from that by some seconds.
fn in_march(seconds: i64, is_begin: bool) -> Chain {
    let change = move |params: &mut rcgen::CertificateParams| {
        let march = date_time_ymd(2027, 3, 1);
        if is_begin { params.not_before = march } else { params.not_after = march }
    };
    let root = root("root", change);
    let intermediate = root.intermediate("intermediate", change);
    let chain = Chain::new(&[&root], &[&intermediate], intermediate.leaf(change));
    Chain { now: MARCH.checked_add_signed(seconds).unwrap(), ..chain }
}

/// Intermediates that issue each other, of which no anchor issued the first.
fn without_root(count: usize, has_same_name: bool, has_same_key: bool) -> Chain {
    let name = |number: usize| if has_same_name { "authority".to_owned() } else { format!("authority {number}") };
    let mut path = vec![root(&name(0), as_usual)];
    for number in 1..count {
        let parent = path.last().unwrap();
        let next = if has_same_key {
            parent.cross_sign(parent, |params| params.distinguished_name = named(&name(number)))
        } else {
            parent.intermediate(&name(number), as_usual)
        };
        path.push(next);
    }
    let leaf = path.last().unwrap().leaf(as_usual);
    Chain::new(&[&root("root", as_usual)], &path.iter().collect::<Vec<_>>(), leaf)
}
