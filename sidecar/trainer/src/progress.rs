//! What a run tells whoever watches: a bar on a terminal, plain lines elsewhere. No id of a user, ever.

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
    /// Looking at the source.
    Stat,
    /// Reading rows.
    Read,
    /// Numbering ids and merging duplicates.
    Intern,
    /// Keeping a part for measuring.
    Split,
    /// Searching for parameters.
    Tune,
    /// Fitting without the kept part.
    Fit,
    /// Measuring on the kept part.
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

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step begins.
    Step(Step),
    /// So far.
    Rows {
        /// Data rows seen.
        read: u64,
        /// Rows kept.
        kept: u64,
        /// Rows left out.
        dropped: u64,
        /// Bytes of the source read.
        bytes: u64,
        /// Its size.
        bytes_total: u64,
    },
    /// All rows are read.
    RowsDone {
        /// Data rows seen.
        read: u64,
        /// Rows kept.
        kept: u64,
        /// Counts by reason and the first row of each, as text; empty when nothing was left out.
        dropped: &'a str,
    },
    /// Duplicates are merged.
    Interned {
        /// Different users.
        users: u64,
        /// Different items.
        items: u64,
        /// Different pairs.
        interactions: u64,
    },
    /// A sweep over users and items is done.
    Sweep {
        /// From 1.
        sweep: u32,
        /// Of how many.
        of: u32,
        /// The objective after it.
        objective: f64,
    },
    /// A set of parameters was tried.
    Trial(&'a Trial),
    /// The model was measured.
    Measured(&'a Metrics),
}

/// Takes events. It is called from the threads that do the work, and must return at once.
pub trait Progress: Send + Sync {
    /// One more event.
    fn event(&self, event: &Event<'_>);
}

/// Says nothing.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// A bar if standard error is a terminal, else lines.
pub fn for_standard_error() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bar::new()) } else { Box::new(Lines::default()) }
}

/// Log lines; of the many events while rows are read, one every `ROWS_LINE_EVERY`.
#[derive(Debug, Default)]
pub struct Lines {
    last_rows_line: Mutex<Option<Instant>>,
}

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
            Event::RowsDone { read, kept, dropped } => tracing::info!(read, kept, dropped, "read"),
            Event::Interned { users, items, interactions } => {
                tracing::info!(users, items, interactions, "interned");
            }
            Event::Sweep { sweep, of, objective } => tracing::info!(sweep, of, objective, "sweep"),
            Event::Trial(Trial { parameters, sweeps, value }) => {
                let parameters = serde_json::to_string(parameters).unwrap_or_default();
                tracing::info!(sweeps, value, parameters, "trial");
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

/// A bar on a terminal, with a line for each finished step above it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// On standard error.
    pub fn new() -> Self {
        Self { bar: ProgressBar::new_spinner() }
    }

    fn style(&self, template: &str) {
        // Templates are constants below; a wrong one keeps the style before it.
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
                self.style("{prefix:12} {bar:30} {pos}/{len} sweeps {msg}");
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
            Event::RowsDone { read, kept, dropped } => {
                let dropped = if dropped.is_empty() { "none" } else { dropped };
                self.bar.println(format!("{read} rows read, {kept} kept; dropped: {dropped}"));
            }
            Event::Interned { users, items, interactions } => {
                self.bar.println(format!("{users} users, {items} items, {interactions} interactions"));
            }
            Event::Sweep { sweep, of, objective } => {
                self.bar.set_length(u64::from(*of));
                self.bar.set_position(u64::from(*sweep));
                self.bar.set_message(format!("objective {objective:.6e}"));
            }
            Event::Trial(trial) => {
                self.bar.set_message(format!("{} after {} sweeps", trial.value_text(), trial.sweeps));
                self.bar.tick();
            }
            Event::Measured(metrics) => self.bar.println(crate::describe_metrics(metrics)),
        }
    }
}
