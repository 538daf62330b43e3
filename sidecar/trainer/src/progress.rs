//! Progress reports of a run: a progress bar on a terminal, log lines elsewhere. They never contain
//! user ids.

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use sidecar_contract::{Metrics, Trial};

/// The steps of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Getting the metadata of the source.
    Stat,
    /// Reading rows.
    Read,
    /// Numbering ids and merging duplicates.
    Intern,
    /// Splitting off the held-out set.
    Split,
    /// Searching for parameters.
    Tune,
    /// Fitting without the held-out set.
    Fit,
    /// Evaluating on the held-out set.
    Measure,
    /// Fitting on all rows.
    Refit,
    /// Writing the snapshot.
    PutSnapshot,
    /// Committing the result.
    PutResult,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Read => "read",
            Self::Intern => "intern",
            Self::Split => "split",
            Self::Tune => "tune",
            Self::Fit => "fit",
            Self::Measure => "measure",
            Self::Refit => "refit",
            Self::PutSnapshot => "put snapshot",
            Self::PutResult => "put result",
        }
    }
}

/// A progress event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step begins.
    Step(Step),
    /// Some rows were read; the counts are cumulative.
    Rows {
        /// Data rows read.
        read: u64,
        /// Rows kept.
        kept: u64,
        /// Rows dropped.
        dropped: u64,
        /// Bytes of the source read.
        bytes: u64,
        /// Total bytes of the source.
        bytes_total: u64,
    },
    /// All rows were read.
    RowsDone {
        /// Data rows read.
        read: u64,
        /// Rows kept.
        kept: u64,
        /// Counts by reason and the first row of each, as text; empty if no rows were dropped.
        dropped: &'a str,
        /// Counts of values that are read in another form than they are written, as text.
        reinterpreted: &'a str,
    },
    /// A few rows are far ahead of all others, which have next to no weight with the half-life.
    FarAhead {
        /// Number of these rows.
        rows: u64,
    },
    /// Duplicates were merged.
    Interned {
        /// Distinct users.
        users: u64,
        /// Distinct items.
        items: u64,
        /// Distinct pairs.
        interactions: u64,
    },
    /// An iteration of a fit is done.
    Iteration {
        /// Number of the iteration, starting at 1.
        iteration: u32,
        /// Total number of iterations.
        iterations: u32,
        /// The objective after the iteration.
        objective: f64,
    },
    /// A tuning trial was fitted and evaluated.
    Trial(&'a Trial),
    /// The model was evaluated.
    Measured(&'a Metrics),
}

/// Receives events. It is called from the working threads and must return immediately.
pub trait Progress: Send + Sync {
    /// Receives one event.
    fn event(&self, event: &Event<'_>);
}

/// Discards all events.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// A progress bar if standard error is a terminal, otherwise log lines.
pub fn for_standard_error() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bar::new()) } else { Box::new(Lines::default()) }
}

/// Log lines; [`Event::Rows`] is logged once per `ROWS_LINE_EVERY`.
#[derive(Debug, Default)]
pub struct Lines {
    last_rows_line: Mutex<Option<Instant>>,
}

/// Warning about [`Event::FarAhead`].
const FAR_AHEAD: &str = "the newest rows are far ahead of all others, which have next to no weight with spec.data.halfLife: check their times";

const ROWS_LINE_EVERY: Duration = Duration::from_secs(5);

impl Lines {
    fn rows_line_is_due(&self) -> bool {
        let mut last = self.last_rows_line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_some_and(|last| last.elapsed() >= ROWS_LINE_EVERY);
        if due || last.is_none() {
            *last = Some(Instant::now());
        }
        due
    }
}

impl Progress for Lines {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Step(step) => tracing::info!(step = step.as_str(), "step"),
            Event::Rows { read, kept, dropped, bytes, bytes_total } => {
                if self.rows_line_is_due() {
                    tracing::info!(read, kept, dropped, bytes, bytes_total, "reading");
                }
            }
            Event::RowsDone { read, kept, dropped, reinterpreted } => {
                tracing::info!(read, kept, dropped, reinterpreted, "read");
            }
            Event::FarAhead { rows } => tracing::warn!(rows, "{FAR_AHEAD}"),
            Event::Interned { users, items, interactions } => {
                tracing::info!(users, items, interactions, "interned");
            }
            Event::Iteration { iteration, iterations, objective } => {
                tracing::info!(iteration, iterations, objective, "iteration");
            }
            Event::Trial(Trial { parameters, iterations_run, value, .. }) => {
                let parameters = serde_json::to_string(parameters).unwrap_or_default();
                tracing::info!(iterations_run, value, parameters, "trial");
            }
            Event::Measured(metrics) => tracing::info!(
                k = metrics.k,
                test_users = metrics.test_users,
                ndcg = metrics.model.ndcg,
                recall = metrics.model.recall,
                baseline_ndcg = metrics.baseline.ndcg,
                baseline_recall = metrics.baseline.recall,
                lift = metrics.lift.map(|lift| lift.estimate),
                lift_low = metrics.lift.map(|lift| lift.low),
                "measured"
            ),
        }
    }
}

/// A progress bar on a terminal; the results of finished steps are printed above it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar on standard error.
    pub fn new() -> Self {
        Self { bar: ProgressBar::new_spinner() }
    }

    fn style(&self, template: &str) {
        // The templates are the constants below; an invalid one keeps the previous style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bar {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Step(step @ Step::Read) => {
                self.style("{prefix:12} {bar:30} {bytes}/{total_bytes} {msg}");
                self.bar.set_prefix(step.as_str());
            }
            Event::Step(step @ (Step::Fit | Step::Refit)) => {
                self.style("{prefix:12} {bar:30} {pos}/{len} iterations {msg}");
                self.bar.set_prefix(step.as_str());
                self.bar.set_message("");
                self.bar.set_position(0);
            }
            Event::Step(step) => {
                self.style("{prefix:12} {msg}");
                self.bar.set_prefix(step.as_str());
                self.bar.set_message("");
                if *step == Step::PutResult {
                    self.bar.finish_and_clear();
                }
            }
            Event::Rows { read: _, kept, dropped, bytes, bytes_total } => {
                self.bar.set_length(*bytes_total);
                self.bar.set_position(*bytes);
                self.bar.set_message(format!("{kept} rows kept, {dropped} dropped"));
            }
            Event::RowsDone { read, kept, dropped, reinterpreted } => {
                let dropped = if dropped.is_empty() { "none" } else { dropped };
                self.bar.println(format!("{read} rows read, {kept} kept; dropped: {dropped}"));
                if !reinterpreted.is_empty() {
                    self.bar.println(format!("read in another form than written: {reinterpreted}"));
                }
            }
            Event::FarAhead { rows } => self.bar.println(format!("warning: {rows} rows: {FAR_AHEAD}")),
            Event::Interned { users, items, interactions } => {
                self.bar.println(format!("{users} users, {items} items, {interactions} interactions"));
            }
            Event::Iteration { iteration, iterations, objective } => {
                self.bar.set_length(u64::from(*iterations));
                self.bar.set_position(u64::from(*iteration));
                self.bar.set_message(format!("objective {objective:.6e}"));
            }
            Event::Trial(trial) => {
                self.bar.set_message(format!("{} after {} iterations", trial.value_text(), trial.iterations_run));
                self.bar.tick();
            }
            Event::Measured(metrics) => self.bar.println(crate::describe_metrics(metrics)),
        }
    }
}
