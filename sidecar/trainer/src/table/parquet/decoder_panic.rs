//! Panics of the Parquet decoders on invalid bytes, as values.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// A decoder panicked.
#[derive(Debug)]
pub(super) struct DecoderPanic;

/// Runs a decoder. A panic is logged for debugging and not printed, because the caller reports the
/// damaged file.
pub(super) fn catch<T>(decode: impl FnOnce() -> T) -> Result<T, DecoderPanic> {
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_CAUGHT.get() {
                tracing::debug!(%panic, "a Parquet decoder panicked");
            } else {
                print(panic);
            }
        }));
    });
    let was_caught = IS_CAUGHT.replace(true);
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    IS_CAUGHT.set(was_caught);
    decoded.map_err(|_| DecoderPanic)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "RECMESH_TEST_DECODER_PANIC";

    /// The hook is global, so a process of its own panics.
    #[test]
    fn only_panics_of_a_decoder_are_not_printed() {
        if std::env::var_os(CHILD).is_some() {
            assert!(catch(|| panic!("inside")).is_err());
            assert_eq!(catch(|| 1).ok(), Some(1));
            panic!("outside");
        }
        let name = "table::parquet::decoder_panic::tests::only_panics_of_a_decoder_are_not_printed";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stderr);
        assert!(printed.contains("outside") && !printed.contains("inside"), "{printed}");
    }
}
