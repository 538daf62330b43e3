//! Reasons to drop a row (a closed set), with counts.

use std::collections::BTreeMap;

/// Why a row is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    EmptyUser,
    EmptyItem,
    IdTooLong,
    NotUtf8,
    NotANumber,
    NotFinite,
    BadTimestamp,
    WrongFieldCount,
    RowTooLong,
    NotJson,
    WrongType,
    EventNotListed,
    AmbiguousComma,
    UnknownAvailability,
}

impl DropReason {
    const ALL: [Self; 14] = [
        Self::EmptyUser,
        Self::EmptyItem,
        Self::IdTooLong,
        Self::NotUtf8,
        Self::NotANumber,
        Self::NotFinite,
        Self::BadTimestamp,
        Self::WrongFieldCount,
        Self::RowTooLong,
        Self::NotJson,
        Self::WrongType,
        Self::EventNotListed,
        Self::AmbiguousComma,
        Self::UnknownAvailability,
    ];

    /// What to do about rows that are dropped for this reason; empty if that depends on the column.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::BadTimestamp => {
                ". Write times as RFC 3339 (2024-05-01T10:00:00Z) or as numbers since 1970: of 5/1/2024, day and month are not \
                 known"
            }
            Self::WrongFieldCount => ". Enclose fields that contain the delimiter or a line break in quotes",
            Self::NotANumber | Self::AmbiguousComma => {
                ". Write ratings with a decimal point and without separators of thousands"
            }
            Self::NotJson => ". Write one JSON object per line",
            Self::NotUtf8 => ". Convert the text to UTF-8",
            Self::EmptyUser
            | Self::EmptyItem
            | Self::IdTooLong
            | Self::NotFinite
            | Self::RowTooLong
            | Self::WrongType
            | Self::EventNotListed
            | Self::UnknownAvailability => "",
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::EmptyUser => "emptyUser",
            Self::EmptyItem => "emptyItem",
            Self::IdTooLong => "idTooLong",
            Self::NotUtf8 => "notUtf8",
            Self::NotANumber => "notANumber",
            Self::NotFinite => "notFinite",
            Self::BadTimestamp => "badTimestamp",
            Self::WrongFieldCount => "wrongFieldCount",
            Self::RowTooLong => "rowTooLong",
            Self::NotJson => "notJson",
            Self::WrongType => "wrongType",
            Self::EventNotListed => "eventNotListed",
            Self::AmbiguousComma => "ambiguousComma",
            Self::UnknownAvailability => "unknownAvailability",
        }
    }
}

/// Dropped rows by reason, with the first row of each reason so that a log can point to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dropped {
    counts: [u64; DropReason::ALL.len()],
    first_rows: [u64; DropReason::ALL.len()],
}

impl Dropped {
    /// `row` counts data rows from 1; `lines` is the number of lines in the file that the row
    /// spans.
    pub(crate) fn add(&mut self, reason: DropReason, row: u64, lines: u64) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += lines;
        }
        if let Some(first @ 0) = self.first_rows.get_mut(reason as usize) {
            *first = row;
        }
    }

    /// Rows that the resource excludes on purpose. They do not indicate a mismatch between data and
    /// resource.
    pub(crate) fn intended(&self) -> u64 {
        self.counts.get(DropReason::EventNotListed as usize).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What to do about the reason of most rows.
    pub(crate) fn advice(&self) -> &'static str {
        let most = self.entries().max_by_key(|(_, count, _)| *count);
        most.map_or("", |(reason, ..)| reason.advice())
    }

    /// Counts by name, for the run result.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        self.entries().map(|(reason, count, _)| (reason.as_str().to_owned(), count)).collect()
    }

    /// `12 emptyUser (first: row 3), 1 notUtf8 (first: row 70)`.
    pub(crate) fn described(&self) -> String {
        let entry =
            |(reason, count, row): (DropReason, u64, u64)| format!("{count} {} (first: row {row})", reason.as_str());
        self.entries().map(entry).collect::<Vec<_>>().join(", ")
    }

    fn entries(&self) -> impl Iterator<Item = (DropReason, u64, u64)> {
        DropReason::ALL
            .into_iter()
            .zip(self.counts)
            .zip(self.first_rows)
            .map(|((reason, count), first)| (reason, count, first))
            .filter(|(_, count, _)| *count > 0)
    }
}
