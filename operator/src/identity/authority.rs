//! The authority of an installation: its trust domain, its roots, and the step of their rotation;
//! and the form in which one Secret stores them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use sidecar_contract::{Digest, anchors_digest};
use thiserror::Error;
use x509_parser::pem::Pem;

use super::{
    root::{Root, RootError},
    rotation::{self, Step, Transition, Wanted},
    trust_domain::TrustDomain,
};

/// Key of the Secret: the trust domain. It is fixed when the root is made.
const TRUST_DOMAIN: &str = "trust-domain";
/// Keys of the Secret: the root that signs, the certificates below it, and the key that signs.
const ROOT: [&str; 3] = ["root.crt", "root-chain.crt", "root.key"];
/// Keys of the Secret: the same of the root that will sign.
const NEXT: [&str; 3] = ["next.crt", "next-chain.crt", "next.key"];
/// Key of the Secret: the certificate of the next root by the root before it. It stays until that
/// root is dropped.
const CROSS_SIGNED: &str = "cross.crt";
/// Key of the Secret: the certificate of the root that signed before.
const PREVIOUS: &str = "previous.crt";
/// Key of the Secret: the step of the rotation as JSON.
const STEP: &str = "rotation.json";
/// Key of the Secret: the last request of a rotation that was begun.
const HANDLED: &str = "rotation-handled";

/// Digits of the digest of a root in the name of a rotation.
const NAME_DIGITS: usize = 8;

/// The data of a Secret.
pub type SecretData = BTreeMap<String, ByteString>;

/// The authority of an installation.
#[derive(Debug)]
pub struct Authority {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The root that signs.
    pub root: Root,
    next: Option<Root>,
    previous: Option<String>,
    cross_signed: Option<String>,
    /// The step of the rotation.
    pub step: Step,
    handled: Option<String>,
}

/// Which root should sign.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One of our own. Each new value of the annotation requests a new one.
    Own {
        /// Value of the annotation.
        requested: Option<&'a str>,
    },
    /// That of the CA of an issuer. `None`: it cannot be used now, and the last usable one signs.
    Issued(Option<&'a Root>),
}

/// Why a Secret is not an authority.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A key is missing, or is not text.
    #[error("the key {0} is missing or is not text")]
    Missing(&'static str),
    /// The trust domain is malformed.
    #[error("{0}")]
    TrustDomain(String),
    /// A root is malformed.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The step is unknown, as after a downgrade.
    #[error("{STEP} is malformed")]
    Step,
    /// The step needs a root that is missing.
    #[error("the step of the rotation needs {0}, which is missing")]
    StepWithout(&'static str),
}

impl Authority {
    /// Makes an authority with a new root.
    ///
    /// # Errors
    /// Fails if the system provides no random numbers.
    pub fn generate(trust_domain: TrustDomain, now: i64) -> Result<Self, RootError> {
        let root = Root::generate(&trust_domain, now)?;
        Ok(Self::with_root(trust_domain, root))
    }

    /// The authority of a root without a rotation.
    pub fn with_root(trust_domain: TrustDomain, root: Root) -> Self {
        let (next, previous, cross_signed, handled) = (None, None, None, None);
        Self { trust_domain, root, next, previous, cross_signed, step: Step::Stable, handled }
    }

    /// Reads the data of a Secret.
    ///
    /// # Errors
    /// Names the key that is missing or malformed.
    pub fn read(data: &SecretData) -> Result<Self, AuthorityError> {
        let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        let required = |key: &'static str| text(key).ok_or(AuthorityError::Missing(key));
        let [certificate, chain, key] = ROOT;
        let root = Root::read(&required(certificate)?, &text(chain).unwrap_or_default(), &required(key)?)?;
        let [certificate, chain, key] = NEXT;
        let next = match (text(certificate), text(key)) {
            (Some(certificate), Some(key)) => Some(Root::read(&certificate, &text(chain).unwrap_or_default(), &key)?),
            _ => None,
        };
        let step = text(STEP).map_or(Ok(Step::Stable), |text| serde_json::from_str(&text));
        let step = step.map_err(|_| AuthorityError::Step)?;
        let previous = text(PREVIOUS);
        match step {
            Step::Prepared | Step::Published { .. } if next.is_none() => {
                return Err(AuthorityError::StepWithout("next.crt and next.key"));
            }
            Step::Switched { .. } if previous.is_none() => return Err(AuthorityError::StepWithout(PREVIOUS)),
            Step::Stable | Step::Prepared | Step::Published { .. } | Step::Switched { .. } => {}
        }
        let trust_domain = TrustDomain::parse(&required(TRUST_DOMAIN)?).map_err(AuthorityError::TrustDomain)?;
        let cross_signed = text(CROSS_SIGNED);
        Ok(Self { trust_domain, root, next, previous, cross_signed, step, handled: text(HANDLED) })
    }

    /// The data of the Secret.
    pub fn secret_data(&self) -> SecretData {
        let Self { trust_domain, root, next, previous, cross_signed, step, handled } = self;
        let mut texts = vec![(TRUST_DOMAIN, trust_domain.as_str().to_owned())];
        for ([certificate, chain, key], root) in [(ROOT, Some(root)), (NEXT, next.as_ref())] {
            let Some(root) = root else { continue };
            texts.extend([(certificate, root.certificate().to_owned()), (key, root.key())]);
            texts.extend(root.is_issued().then(|| (chain, root.chain().to_owned())));
        }
        texts.extend(previous.clone().map(|previous| (PREVIOUS, previous)));
        texts.extend(cross_signed.clone().map(|cross_signed| (CROSS_SIGNED, cross_signed)));
        texts.extend(handled.clone().map(|handled| (HANDLED, handled)));
        if *step != Step::Stable {
            texts.push((STEP, serde_json::to_string(step).unwrap_or_default()));
        }
        texts.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
    }

    /// The anchors that all sidecars need now, as PEM.
    pub fn anchors(&self) -> String {
        let roots =
            [Some(self.root.certificate()), self.next.as_ref().map(Root::certificate), self.previous.as_deref()];
        roots.into_iter().flatten().collect()
    }

    /// The certificates that follow those of pods, as PEM: from the CA that signs up to its root, and
    /// while both are anchors, from the root that signs to the one before. A sidecar that has only the
    /// old anchor accepts new certificates by the latter.
    pub fn intermediates(&self) -> String {
        let is_used = matches!(self.step, Step::Switched { .. });
        let cross_signed = self.cross_signed.as_deref().filter(|_| is_used);
        [self.root.chain(), cross_signed.unwrap_or_default()].concat()
    }

    /// The digest of these anchors, as sidecars confirm it.
    pub fn anchors_digest(&self) -> Digest {
        digest(&self.anchors())
    }

    /// The transition that is due.
    pub fn due(&self, target: Target<'_>, is_published: bool, is_confirmed: bool, now: i64) -> Option<Transition> {
        if let Target::Issued(Some(ca)) = target
            && self.known(ca).is_some_and(|known| known.chain() != ca.chain() || known.key() != ca.key())
        {
            return Some(Transition::Renew);
        }
        rotation::due(self.step, self.wanted(target), is_published, is_confirmed, now)
    }

    /// The root with the certificate of another one.
    fn known(&self, other: &Root) -> Option<&Root> {
        [Some(&self.root), self.next.as_ref()].into_iter().flatten().find(|known| is_same(known, other))
    }

    fn wanted(&self, target: Target<'_>) -> Wanted {
        match target {
            Target::Issued(None) => Wanted::Planned,
            Target::Issued(Some(ca)) if is_same(&self.root, ca) => Wanted::Current,
            Target::Issued(Some(ca)) if self.known(ca).is_some() => Wanted::Planned,
            Target::Issued(Some(_)) => Wanted::Other,
            Target::Own { requested } => {
                let is_requested = requested.is_some_and(|requested| self.handled.as_deref() != Some(requested));
                let is_other = match &self.next {
                    Some(next) => next.is_issued(),
                    // Without an issuer, nobody renews its CA.
                    None => is_requested || self.root.is_issued(),
                };
                if is_other { Wanted::Other } else { Wanted::Planned }
            }
        }
    }

    /// Value of the annotation that passes over pods that have not confirmed the anchors.
    pub fn pass_over(&self) -> Option<String> {
        rotation::pass_over(self.step, self.handled.as_deref())
    }

    /// The authority after a transition at `now`.
    ///
    /// # Errors
    /// Fails if the system provides no random numbers.
    pub fn after(self, transition: Transition, target: Target<'_>, now: i64) -> Result<Self, RootError> {
        Ok(match transition {
            Transition::Renew => match target {
                Target::Issued(Some(ca)) if is_same(&self.root, ca) => Self { root: ca.copy()?, ..self },
                Target::Issued(Some(ca)) => Self { next: Some(ca.copy()?), ..self },
                Target::Issued(None) | Target::Own { .. } => self,
            },
            Transition::Prepare => match target {
                Target::Issued(None) => self,
                Target::Issued(Some(ca)) => self.with_next(ca.copy()?, None, None),
                // The name and the path length of a CA of an issuer are not ours.
                Target::Own { requested } if self.root.is_issued() => {
                    let next = Root::generate(&self.trust_domain, now)?;
                    self.with_next(next, None, requested)
                }
                Target::Own { requested } => {
                    let (next, cross_signed) = self.root.generate_next(&self.trust_domain, now)?;
                    self.with_next(next, Some(cross_signed), requested)
                }
            },
            Transition::Withdraw => Self { next: None, cross_signed: None, step: Step::Stable, ..self },
            Transition::Confirm => Self { step: Step::Published { since: now }, ..self },
            Transition::Switch => match self.next {
                Some(next) => Self {
                    previous: Some(self.root.certificate().to_owned()),
                    root: next,
                    next: None,
                    step: Step::Switched { drop_after: rotation::drop_after(now) },
                    ..self
                },
                None => self,
            },
            Transition::Drop => Self { previous: None, cross_signed: None, step: Step::Stable, ..self },
        })
    }

    /// The authority with the root that will sign. A rotation that no annotation requested has the
    /// name of its root, so that each has another.
    fn with_next(self, next: Root, cross_signed: Option<String>, requested: Option<&str>) -> Self {
        let name = || format!("root-{}", digest(next.certificate()).as_str().get(..NAME_DIGITS).unwrap_or_default());
        let handled = Some(requested.map_or_else(name, str::to_owned));
        Self { next: Some(next), cross_signed, step: Step::Prepared, handled, ..self }
    }
}

/// Whether two roots have the same certificate.
fn is_same(a: &Root, b: &Root) -> bool {
    a.certificate() == b.certificate()
}

/// The digest of certificates in PEM.
fn digest(certificates: &str) -> Digest {
    let blocks = Pem::iter_from_buffer(certificates.as_bytes()).filter_map(Result::ok);
    let certificates: Vec<Vec<u8>> = blocks.map(|block| block.contents).collect();
    anchors_digest(certificates.iter().map(Vec::as_slice))
}
