//! The pod's termination message: one small JSON document that Kubernetes shows with the pod.

use std::{fs::OpenOptions, io::Write, path::Path};

use sidecar_contract::{TerminationHint, canonical_json, run_result::TERMINATION_MESSAGE_BYTES_MAX};

/// The hint as JSON of at most [`TERMINATION_MESSAGE_BYTES_MAX`]; a longer message is cut.
pub fn termination_message(hint: &TerminationHint) -> String {
    let mut hint = hint.clone();
    loop {
        let text = canonical_json(&hint);
        let Some(excess) = text.len().checked_sub(TERMINATION_MESSAGE_BYTES_MAX + 1) else { return text };
        // Escapes make the text longer than the message, so this may take more than one cut; each is at least one byte.
        let keep = hint.message.len().saturating_sub(excess + 1 + "…".len());
        let keep = hint.message.floor_char_boundary(keep);
        if keep == 0 {
            return canonical_json(&TerminationHint { reason: hint.reason, message: String::new() });
        }
        hint.message.truncate(keep);
        hint.message.push('…');
    }
}

/// Writes the message where Kubernetes looks for it, if that file is there.
pub fn write_termination_message(hint: &TerminationHint, file: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(file) {
        Ok(mut file) => file.write_all(termination_message(hint).as_bytes()),
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
            let hint = TerminationHint { reason: "DataInvalid".to_owned(), message: message.clone() };
            let text = termination_message(&hint);
            assert!(text.len() <= TERMINATION_MESSAGE_BYTES_MAX, "{}", text.len());
            let back: TerminationHint = serde_json::from_str(&text).unwrap();
            assert_eq!(back.reason, "DataInvalid");
            assert!(message.starts_with(back.message.trim_end_matches('…')));
        }
    }

    #[test]
    fn it_is_written_only_where_kubernetes_made_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("termination-log");
        let hint = TerminationHint { reason: "Trained".to_owned(), message: String::new() };
        write_termination_message(&hint, &file).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "what stood there before, and is longer than the message").unwrap();
        write_termination_message(&hint, &file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"message":"","reason":"Trained"}"#);
    }
}
