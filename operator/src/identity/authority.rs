//! The authority of an installation: its trust domain, its roots, and the step of their rotation;
//! and the form in which one Secret stores them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use sidecar_contract::{Digest, anchors_digest};
use thiserror::Error;
use x509_parser::pem::Pem;

use super::{
    root::{Root, RootError},
    rotation::{self, Step, Transition},
    trust_domain::TrustDomain,
};

/// Key of the Secret: the trust domain. It is fixed when the root is made.
const TRUST_DOMAIN: &str = "trust-domain";
/// Keys of the Secret: the root that signs.
const ROOT: [&str; 2] = ["root.crt", "root.key"];
/// Keys of the Secret: the root that will sign.
const NEXT: [&str; 2] = ["next.crt", "next.key"];
/// Key of the Secret: the certificate of the next root by the root before it. It stays until that
/// root is dropped.
const CROSS_SIGNED: &str = "cross.crt";
/// Key of the Secret: the certificate of the root that signed before.
const PREVIOUS: &str = "previous.crt";
/// Key of the Secret: the step of the rotation as JSON.
const STEP: &str = "rotation.json";
/// Key of the Secret: the last request of a rotation that was begun.
const HANDLED: &str = "rotation-handled";

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
        Ok(Self {
            trust_domain,
            root,
            next: None,
            previous: None,
            cross_signed: None,
            step: Step::Stable,
            handled: None,
        })
    }

    /// Reads the data of a Secret.
    ///
    /// # Errors
    /// Names the key that is missing or malformed.
    pub fn read(data: &SecretData) -> Result<Self, AuthorityError> {
        let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        let required = |key: &'static str| text(key).ok_or(AuthorityError::Missing(key));
        let [certificate, key] = ROOT;
        let root = Root::read(&required(certificate)?, &required(key)?)?;
        let [certificate, key] = NEXT;
        let next = match (text(certificate), text(key)) {
            (Some(certificate), Some(key)) => Some(Root::read(&certificate, &key)?),
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
        for ([certificate, key], root) in [(ROOT, Some(root)), (NEXT, next.as_ref())] {
            let pair = root.map(|root| [(certificate, root.certificate().to_owned()), (key, root.key())]);
            texts.extend(pair.into_iter().flatten());
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

    /// The certificates that lead from the root that signs to the one before, while both are anchors:
    /// a sidecar that has only the old anchor accepts new certificates by them. As PEM; empty
    /// outside of a rotation.
    pub fn intermediates(&self) -> &str {
        let is_used = matches!(self.step, Step::Switched { .. });
        self.cross_signed.as_deref().filter(|_| is_used).unwrap_or_default()
    }

    /// The digest of these anchors, as sidecars confirm it.
    pub fn anchors_digest(&self) -> Digest {
        let anchors = self.anchors();
        let blocks = Pem::iter_from_buffer(anchors.as_bytes()).filter_map(Result::ok);
        let certificates: Vec<Vec<u8>> = blocks.map(|block| block.contents).collect();
        anchors_digest(certificates.iter().map(Vec::as_slice))
    }

    /// The rotation's transition that is due. `requested` is the value of the annotation; each new
    /// value requests one rotation.
    pub fn due(&self, requested: Option<&str>, is_published: bool, is_confirmed: bool, now: i64) -> Option<Transition> {
        let is_requested = requested.is_some_and(|requested| self.handled.as_deref() != Some(requested));
        rotation::due(self.step, is_requested, is_published, is_confirmed, now)
    }

    /// Value of the annotation that passes over pods that have not confirmed the anchors.
    pub fn pass_over(&self) -> Option<String> {
        rotation::pass_over(self.step, self.handled.as_deref())
    }

    /// The authority after a transition at `now`.
    ///
    /// # Errors
    /// Fails if the system provides no random numbers.
    pub fn after(self, transition: Transition, requested: Option<&str>, now: i64) -> Result<Self, RootError> {
        Ok(match transition {
            Transition::Prepare => {
                let (next, cross_signed) = self.root.generate_next(&self.trust_domain, now)?;
                let handled = requested.map(str::to_owned);
                Self { next: Some(next), cross_signed: Some(cross_signed), step: Step::Prepared, handled, ..self }
            }
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
}
