//! Memory of a serving pod: what a model of a given size needs, and what a given limit allows.

/// Memory of the process in addition to the model and the reserve.
const PROCESS_BYTES: u64 = 32 << 20;
/// Memory that stays free in addition to a snapshot: for requests in flight and connections. The
/// limits of the sidecar state its parts.
pub const HEADROOM_RESERVE_BYTES: u64 = 80 << 20;

/// Memory that a pod needs for a snapshot of this forecast size. A quarter more than the forecast
/// is for what it does not count, such as titles.
pub fn pod_bytes(snapshot_bytes: u64) -> u64 {
    let margin = snapshot_bytes / 4;
    [margin, PROCESS_BYTES, HEADROOM_RESERVE_BYTES].into_iter().fold(snapshot_bytes, u64::saturating_add)
}

/// Maximum forecast size of a snapshot for a pod with this memory limit.
pub fn snapshot_bytes_max(limit_bytes: u64) -> u64 {
    limit_bytes.saturating_sub(PROCESS_BYTES + HEADROOM_RESERVE_BYTES) / 5 * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_snapshot_needs_at_most_the_limit() {
        for limit in [0, 100 << 20, 112 << 20, 113 << 20, 256 << 20, 8 << 30] {
            let max = snapshot_bytes_max(limit);
            assert!(max == 0 || pod_bytes(max) <= limit, "{limit}: {max}");
            assert!(pod_bytes(max + 8) > limit, "{limit}: {max}");
        }
        assert_eq!(pod_bytes(400 << 20), 612 << 20);
        assert_eq!(snapshot_bytes_max(612 << 20), 400 << 20);
    }
}
