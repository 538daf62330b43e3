//! Training configs of a newer operator.

use std::process::Command;

use sidecar_contract::{ExitCode, paths};

#[test]
fn a_training_config_with_an_unknown_value_is_refused_for_good() {
    for (config, problem) in [
        (
            include_str!("../../contract/fixtures/training-config/future-signal.json"),
            "signal: unknown variant `ordinal`, expected `implicit` or `explicit`",
        ),
        ("{}", "missing field `run`"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_recmesh-sidecar"))
            .arg("train")
            .env(paths::TRAINING_CONFIG_ENV, config)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(i32::from(ExitCode::Usage.code())));
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains("the config in RECMESH_TRAINING is not supported by this image"), "{log}");
        assert!(log.contains(problem) && log.contains("Use an image at least as new as the operator's"), "{log}");
    }
}
