//! Checks before a fetch whether a snapshot fits into the memory that the container may still use.

use recommender_trainer::MemoryLimit;

use crate::limits::HEADROOM_RESERVE_BYTES;

/// Bytes that the process may use beyond what its control group uses; `None` without a limit. Pages
/// of the old snapshot do not count as used: the kernel reclaims them for the new one.
pub fn headroom_bytes() -> Option<u64> {
    MemoryLimit::read().map(|limit| limit.headroom())
}

/// Bytes that a snapshot of this size needs beyond the headroom, if it does not fit.
pub fn missing_bytes(snapshot_bytes: u64, headroom: Option<u64>) -> Option<u64> {
    let wanted = snapshot_bytes.saturating_add(HEADROOM_RESERVE_BYTES);
    headroom.and_then(|available| wanted.checked_sub(available)).filter(|missing| *missing > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bytes_are_reported() {
        let reserve = HEADROOM_RESERVE_BYTES;
        assert_eq!(missing_bytes(100, None), None);
        assert_eq!(missing_bytes(100, Some(reserve + 100)), None);
        assert_eq!(missing_bytes(101, Some(reserve + 100)), Some(1));
    }
}
