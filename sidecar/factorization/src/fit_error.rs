//! Why a fit failed.

use std::fmt;

use thiserror::Error;

use crate::row_solver::SolveError;

/// One of the two factor matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// U.
    User,
    /// V.
    Item,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Item => "item",
        })
    }
}

/// Why a fit failed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// There are no interactions.
    #[error("there are no interactions")]
    Empty,
    /// A row could not be solved.
    #[error("{side} row {row} in iteration {iteration}")]
    Row {
        /// Side of the row.
        side: Side,
        /// Index of the row.
        row: usize,
        /// Iteration, counted from 1.
        iteration: u32,
        /// Cause.
        source: SolveError,
    },
    /// A Gram matrix has no eigendecomposition.
    #[error(
        "the {side} factors of iteration {iteration} have no eigenbasis: lower extreme weights or raise regularization"
    )]
    Basis {
        /// Side that has no eigenbasis.
        side: Side,
        /// Iteration, counted from 1.
        iteration: u32,
    },
    /// The warm-start model has another number of factors.
    #[error(
        "the warm-start model has {given} factors, but factors is {expected}: set factors to {given}, or train without a warm start"
    )]
    WarmStart {
        /// Factors of the warm-start model.
        given: usize,
        /// Factors of the parameters.
        expected: usize,
    },
    /// The algorithm has no warm start.
    #[error("this algorithm does not support a warm start: train without one")]
    NoWarmStart,
    /// The progress callback cancelled the fit.
    #[error("cancelled after iteration {iteration}")]
    Cancelled {
        /// Last completed iteration.
        iteration: u32,
    },
}
