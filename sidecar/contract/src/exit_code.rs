//! Exit codes of the trainer. They determine whether the Job retries; the run result or the
//! termination message has the cause.

/// Exit code of a training process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The result of the run is in the store.
    Done = 0,
    /// Infrastructure failure (store or source unreachable, data changed while it was read): the
    /// run may be retried.
    Retry = 1,
    /// The command line or the training config is invalid (also the exit code of clap): a retry
    /// cannot succeed.
    Usage = 2,
    /// The data does not match its description in the resource: the user must fix one of them.
    BadData = 65,
    /// The source does not exist or is not readable with these credentials: the user must fix it.
    NoInput = 66,
    /// Training diverged (non-finite values, matrix not positive definite): the parameters must
    /// change.
    Diverged = 70,
    /// Memory is insufficient; the message states the required amount.
    OutOfCapacity = 71,
}

impl ExitCode {
    /// Codes after which the Job must not retry the run.
    pub const PERMANENT: [Self; 5] = [Self::Usage, Self::BadData, Self::NoInput, Self::Diverged, Self::OutOfCapacity];

    /// Numeric exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}
