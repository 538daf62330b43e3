//! What the commands of Jobs share: the config in the environment, and the termination message.

use std::path::Path;

use recommender_trainer::{FailureReason, write_termination_message};
use serde::{Serialize, de::DeserializeOwned};
use sidecar_contract::{ExitCode, Reading, TerminationMessage, paths};

/// Reads the config of a Job from the text of an environment variable.
///
/// # Errors
/// A config that this image does not support: the exit code. There is no result, because the config
/// also has the location of the store.
pub fn read_config<T: Serialize + DeserializeOwned>(text: &str, variable: &str) -> Result<T, ExitCode> {
    match sidecar_contract::read::<T>(text) {
        Ok(Reading { document, ignored, .. }) => {
            if !ignored.is_empty() {
                tracing::warn!(variable, ?ignored, "ignored fields of the config that this image does not know");
            }
            Ok(document)
        }
        Err(error) => {
            let message = format!(
                "the config in {variable} is not supported by this image: {error}. Use an image at least as new as the operator's"
            );
            tracing::error!(variable, message, "refused the config of a Job");
            report_termination(&TerminationMessage {
                reason: FailureReason::NotSupported.as_str().to_owned(),
                message,
            });
            Err(FailureReason::NotSupported.exit_code())
        }
    }
}

/// Writes the termination message of the pod, if this process runs in one.
pub fn report_termination(message: &TerminationMessage) {
    let log = Path::new(paths::TERMINATION_LOG);
    if log.exists()
        && let Err(error) = write_termination_message(message, log)
    {
        tracing::warn!(%error, "cannot write the termination message");
    }
}
