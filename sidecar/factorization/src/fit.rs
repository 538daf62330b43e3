//! The one interface of all algorithms: a fit of data, from a seed or from an earlier model.

use std::ops::ControlFlow;

use crate::{fit_error::FitError, interactions::Interactions, model::Model, warm_start::WarmStart};

/// State of a fit after an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IterationReport {
    /// Iteration, counted from 1.
    pub iteration: u32,
    /// Total number of iterations.
    pub iterations: u32,
    /// L after the iteration, before factors are rounded to f32; see the crate docs. Its cost is
    /// negligible.
    pub objective: f64,
}

/// Is called after every iteration, and may cancel the fit.
pub type Progress<'a> = dyn FnMut(&IterationReport) -> ControlFlow<()> + 'a;

/// Fits a model; implemented by the checked parameters of every algorithm.
pub trait Fit {
    /// Fits `data` on the ambient rayon pool. The fit starts from random rows of `seed`, or from
    /// the rows of an earlier model if there is a warm start.
    ///
    /// # Errors
    /// There are no interactions, a row cannot be solved or is not finite in f32 (the error names
    /// it), the warm start does not match the parameters or the algorithm, or `progress` cancelled.
    fn fit(
        &self,
        data: &Interactions,
        seed: u64,
        warm_start: Option<&WarmStart<'_>>,
        progress: &mut Progress<'_>,
    ) -> Result<Model, FitError>;
}

/// Checks of an algorithm that starts from a seed alone.
///
/// # Errors
/// There are no interactions, or there is a warm start.
pub(crate) fn check_cold_start(data: &Interactions, warm_start: Option<&WarmStart<'_>>) -> Result<(), FitError> {
    if data.nnz() == 0 {
        return Err(FitError::Empty);
    }
    if warm_start.is_some() { Err(FitError::NoWarmStart) } else { Ok(()) }
}
