//! Exit codes of the trainer. They choose what the Job does next; the run result or the termination hint says why.

/// How a training process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The run's result is in the store.
    Done = 0,
    /// The world misbehaved (store or source unreachable, data moved while it was read): the same run may be tried again.
    Retry = 1,
    /// The command line or the training config is wrong (clap's own code too): trying again cannot help.
    Usage = 2,
    /// The data cannot be used as the resource describes it: the user must act.
    BadData = 65,
    /// The source is not there, or not readable with these credentials: the user must act.
    NoInput = 66,
    /// The mathematics failed (overflow, not positive definite): parameters must change.
    Diverged = 70,
    /// Memory would not do; the message holds the number to set.
    OutOfCapacity = 71,
}

impl ExitCode {
    /// Codes after which the Job must not try the same run again.
    pub const FINAL: [Self; 5] = [Self::Usage, Self::BadData, Self::NoInput, Self::Diverged, Self::OutOfCapacity];

    /// The number for the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }
}
