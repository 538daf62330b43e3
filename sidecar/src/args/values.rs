//! Values of options.

use clap::ValueEnum;
use sidecar_contract::{Column, FilterColumn, FilterKind, Format};

use crate::limits::CACHE_MIB_MAX;

/// What a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignalArg {
    /// Implicit feedback: an event, such as a click or a purchase; the rating column is its weight.
    Implicit,
    /// Explicit ratings on a scale.
    Explicit,
}

/// How interaction weights are transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightingArg {
    /// Unchanged.
    None,
    /// log2(1 + weight).
    Log,
    /// BM25; also down-weights popular items and active users.
    Bm25,
}

/// How the held-out set is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum SplitArg {
    /// The newest rows.
    Time,
    /// Random rows, chosen by a seeded hash of user and item.
    Random,
    /// The newest row of each user.
    LeaveLastOut,
    /// A fifth of the rows of users that the fit excludes; the other rows are folded in.
    UserHoldout,
}

/// Training algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArg {
    /// Alternating least squares.
    Als,
    /// Truncated singular value decomposition.
    Svd,
    /// Bayesian personalized ranking; implicit data only.
    Bpr,
    /// The simplest one within one standard error of the best, chosen by a search.
    Auto,
}

impl AlgorithmArg {
    /// Name in the resource.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Comma-separated, or separated by the delimiter.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Parquet => Self::Parquet,
        }
    }
}

/// Parses a column: a number is an index.
#[expect(clippy::unnecessary_wraps, reason = "the parser of an argument returns a result")]
pub fn column(text: &str) -> Result<Column, std::convert::Infallible> {
    Ok(text.parse().map_or_else(|_| Column::Name(text.to_owned()), Column::Index))
}

/// Parses a delimiter; a shell passes the two characters of `'\t'` as they are.
pub fn delimiter(text: &str) -> Result<char, String> {
    match text {
        "\\t" | "tab" => Ok('\t'),
        text => text.parse().map_err(|_| format!("{text:?} is not one character; expected for example ; or \\t")),
    }
}

/// Parses `view=1`.
pub fn event_weight(text: &str) -> Result<(String, f64), String> {
    let (event, weight) = text.rsplit_once('=').ok_or("expected an event type and its weight, such as view=1")?;
    let weight =
        weight.parse().map_err(|_| format!("{weight:?} is not a number; expected a weight, such as view=1"))?;
    Ok((event.to_owned(), weight))
}

/// Parses a number that JSON can represent.
pub fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "expected a finite number".to_owned())
}

/// Parses a size of the cache.
pub fn cache_mib(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number of MiB from 0 to {CACHE_MIB_MAX}");
    text.parse().ok().filter(|mib| *mib <= CACHE_MIB_MAX).ok_or_else(expected)
}

/// Parses `price:number`.
pub fn filter(text: &str) -> Result<FilterColumn, String> {
    let (name, kind) = match text.rsplit_once(':') {
        None => (text, FilterKind::Category),
        Some((name, "category")) => (name, FilterKind::Category),
        Some((name, "number")) => (name, FilterKind::Number),
        Some((name, "time")) => (name, FilterKind::Time),
        Some((_, other)) => {
            return Err(format!("{other:?} is not a kind of filter column; expected category, number or time"));
        }
    };
    let column = name.parse().map_or_else(|_| Column::Name(name.to_owned()), Column::Index);
    Ok(FilterColumn { column, name: None, kind })
}
