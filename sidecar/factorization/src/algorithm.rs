//! The algorithms: what each provides besides its fit, and the list of all of them. The rest of the
//! crate treats algorithms alike.

mod als;
mod bpr;
mod explicit_als;
mod svd;

use crate::{
    fit::{Fit, Progress},
    fit_error::FitError,
    fold_in::{FoldIn, Parts},
    interactions::Interactions,
    memory::FitSize,
    model::Model,
    params::ValidParams,
    row_solver::SolveError,
    two_hop_params::TwoHopParams,
    warm_start::WarmStart,
};

/// An algorithm with checked parameters.
pub(crate) trait Algorithm: Fit {
    /// Length of a factor row.
    fn factors(&self) -> usize;

    /// Peak memory of the fit in bytes, in addition to the interactions.
    fn fit_bytes(&self, size: &FitSize) -> u64;

    /// Parameters of the two-hop term; `None` without one.
    fn two_hop(&self) -> Option<TwoHopParams> {
        None
    }

    /// The same parameters with this weight of the two-hop term, which must be in its range; `None`
    /// if the algorithm has no such term.
    fn with_co_occurrence_weight(&self, _weight: f64) -> Option<ValidParams> {
        None
    }

    /// The same parameters for a fit whose lists decide another parameter: its lists are as good
    /// for that after fewer iterations. `None`: these parameters.
    fn for_comparison(&self) -> Option<ValidParams> {
        None
    }

    /// Fold-in of histories into a model with these parts.
    ///
    /// # Errors
    /// The parts do not match each other or the algorithm.
    fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError>;
}

impl ValidParams {
    /// The list of algorithms.
    fn algorithm(&self) -> &dyn Algorithm {
        match self {
            Self::Als(params) => params,
            Self::ExplicitAls(params) => params,
            Self::Svd(params) => params,
            Self::Bpr(params) => params,
        }
    }

    /// Length of a factor row.
    pub fn factors(&self) -> usize {
        self.algorithm().factors()
    }

    /// Parameters of the two-hop term; `None` without one.
    pub fn two_hop(&self) -> Option<TwoHopParams> {
        self.algorithm().two_hop()
    }

    /// See [`Algorithm::with_co_occurrence_weight`].
    pub(crate) fn with_co_occurrence_weight(&self, weight: f64) -> Option<Self> {
        self.algorithm().with_co_occurrence_weight(weight)
    }

    /// See [`Algorithm::for_comparison`].
    pub(crate) fn for_comparison(self) -> Self {
        self.algorithm().for_comparison().unwrap_or(self)
    }

    /// Forecast of the peak memory of a fit in bytes: entries as read, both orientations of the
    /// interactions, both factor matrices, and each thread's scratch. Ids and the process itself
    /// are not included.
    pub fn memory_forecast_bytes(&self, size: &FitSize) -> u64 {
        size.interactions_bytes().saturating_add(self.algorithm().fit_bytes(size))
    }

    /// See [`Algorithm::fold_in`].
    pub(crate) fn fold_in<'a>(&'a self, parts: Parts<'a>) -> Result<Box<dyn FoldIn + 'a>, SolveError> {
        self.algorithm().fold_in(parts)
    }
}

impl Fit for ValidParams {
    fn fit(
        &self,
        data: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError> {
        self.algorithm().fit(data, seed, warm_start, progress)
    }
}
