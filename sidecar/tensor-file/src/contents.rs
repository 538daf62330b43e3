//! Whether the contents of a file are known.

/// What is known about the contents of a file before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing: every check runs, and reads the whole file.
    Unchecked,
    /// The same bytes have passed every check of this release before, and the file has not changed
    /// since. Only what takes no reading of the whole file is checked again.
    CheckedBefore,
}
