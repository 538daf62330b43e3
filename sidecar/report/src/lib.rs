//! Run report: a human-readable HTML page that is rendered from a run's result, and from the
//! current gate of its Recommender. The store has no second document that could be inconsistent
//! with the result, and old runs are rendered with the current layout. Rendering is pure; the page
//! contains no scripts and no external resources.

mod page;
mod plot;
mod search;
mod text;
mod trial_table;

pub use page::{Subject, render, render_served};
pub use trial_table::TrialTable;
