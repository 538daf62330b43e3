//! What serves now: one immutable value that is swapped whole, so every part of an answer belongs
//! to one generation.

use answering::{Answerer, Ask, DEFAULT_VARIANT, Local};
use sidecar_contract::{Access, LoadedModel, Rule, ServingLimits};

/// The answerers of this process and the limits of its endpoints.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Number of values that were swapped in before this one.
    pub generation: u64,
    /// Variants; empty until the first model is loaded.
    pub variants: Vec<Variant>,
    /// What one request may ask for.
    pub limits: ServingLimits,
    /// Who may ask.
    pub access: Access,
    /// The composition, if this process asks the parts of one.
    pub composed: Option<Composed>,
}

/// A composition that serves.
#[derive(Clone, Debug)]
pub struct Composed {
    /// First ten digits of the digest of its rule.
    pub revision: String,
    /// Its rule.
    pub rule: Rule,
}

/// One variant of the Recommender.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Name in answers.
    pub name: String,
    /// What answers.
    pub answerer: Answerer,
}

impl Serving {
    /// One answerer for all users, with the default access.
    pub fn of(answerer: Answerer, limits: ServingLimits) -> Self {
        let variants = vec![Variant { name: DEFAULT_VARIANT.to_owned(), answerer }];
        Self { variants, limits, ..Self::default() }
    }

    /// Whether any question can be answered.
    pub fn is_ready(&self) -> bool {
        !self.variants.is_empty()
    }

    /// The answerer for a question; `None` before the first model.
    pub fn answerer(&self, _ask: &Ask) -> Option<&Answerer> {
        self.variants.first().map(|variant| &variant.answerer)
    }

    /// The revision that answers, as in answers; `None` before the first.
    pub fn revision(&self) -> Option<&str> {
        let composed = self.composed.as_ref().map(|composed| composed.revision.as_str());
        composed.or_else(|| self.local().map(Local::revision))
    }

    /// The loaded revision, if this process has one.
    pub fn local(&self) -> Option<&Local> {
        self.variants.iter().find_map(|variant| variant.answerer.local()).map(AsRef::as_ref)
    }
}

/// What the admin port and `GET /model` report about a loaded revision.
pub fn describe(local: &Local) -> LoadedModel {
    let model = local.model();
    let metadata = model.snapshot().metadata();
    LoadedModel {
        digest: model.digest().clone(),
        algorithm: metadata.algorithm.name().to_owned(),
        users: metadata.users,
        items: metadata.items,
        factors: u32::try_from(metadata.factors).unwrap_or(u32::MAX),
        serving_mode: local.mode().into(),
        loaded_at: model.loaded_at(),
        catalogue: local.catalogue().map(|catalogue| catalogue.version().to_owned()),
    }
}
