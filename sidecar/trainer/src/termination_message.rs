//! The pod's termination message: a small JSON document in the pod's status.

use std::{fs::OpenOptions, io::Write, path::Path};

use sidecar_contract::{TerminationMessage, canonical_json, run_result::TERMINATION_MESSAGE_BYTES_MAX};

/// The content as JSON of up to [`TERMINATION_MESSAGE_BYTES_MAX`] bytes; a longer message is
/// truncated.
pub fn termination_message(content: &TerminationMessage) -> String {
    let mut content = content.clone();
    loop {
        let text = canonical_json(&content);
        let Some(excess) = text.len().checked_sub(TERMINATION_MESSAGE_BYTES_MAX + 1) else { return text };
        // Escapes make the JSON longer than the message, so several cuts may be needed; each
        // removes one byte or more.
        let keep = content.message.len().saturating_sub(excess + 1 + "…".len());
        let keep = content.message.floor_char_boundary(keep);
        if keep == 0 {
            return canonical_json(&TerminationMessage { reason: content.reason, message: String::new() });
        }
        content.message.truncate(keep);
        content.message.push('…');
    }
}

/// Writes the message to the file that Kubernetes reads it from, if that file exists.
pub fn write_termination_message(content: &TerminationMessage, file: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(file) {
        Ok(mut file) => file.write_all(termination_message(content).as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_message_fits_and_parses() {
        for message in ["short".to_owned(), "ü\"\n".repeat(3000), "x".repeat(2049), "\u{1}".repeat(5000)] {
            let content = TerminationMessage { reason: "DataInvalid".to_owned(), message: message.clone() };
            let text = termination_message(&content);
            assert!(text.len() <= TERMINATION_MESSAGE_BYTES_MAX, "{}", text.len());
            let parsed: TerminationMessage = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed.reason, "DataInvalid");
            assert!(message.starts_with(parsed.message.trim_end_matches('…')));
        }
    }

    #[test]
    fn written_only_if_kubernetes_created_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("termination-log");
        let content = TerminationMessage { reason: "Trained".to_owned(), message: String::new() };
        write_termination_message(&content, &file).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "earlier content that is longer than the message").unwrap();
        write_termination_message(&content, &file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"message":"","reason":"Trained"}"#);
    }
}
