//! Whether a snapshot fits into what the container may still use, before it is fetched.

use std::{fs, path::Path};

use crate::limits::HEADROOM_RESERVE_BYTES;

/// Bytes that the container may use beyond its present anonymous memory; `None` without a limit (or outside Linux).
/// File pages are not counted as used: the kernel gives up the old snapshot's for the new one's.
pub fn headroom_bytes() -> Option<u64> {
    let v2 = Path::new("/sys/fs/cgroup");
    let v1 = Path::new("/sys/fs/cgroup/memory");
    from_files(&v2.join("memory.max"), &v2.join("memory.stat"), "anon")
        .or_else(|| from_files(&v1.join("memory.limit_in_bytes"), &v1.join("memory.stat"), "total_rss"))
}

fn from_files(limit: &Path, stat: &Path, anonymous: &str) -> Option<u64> {
    let limit = fs::read_to_string(limit).ok()?.trim().parse::<u64>().ok()?; // "max" is no number: no limit
    let stat = fs::read_to_string(stat).ok()?;
    let used: u64 = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == anonymous)
        .and_then(|(_, value)| value.trim().parse().ok())?;
    Some(limit.saturating_sub(used))
}

/// What a snapshot of this size needs, if that is more than there is.
pub fn missing_bytes(snapshot_bytes: u64, headroom: Option<u64>) -> Option<u64> {
    let wanted = snapshot_bytes.saturating_add(HEADROOM_RESERVE_BYTES);
    headroom.and_then(|available| wanted.checked_sub(available)).filter(|missing| *missing > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cgroup_versions_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let stat = file("stat", "cache 9\nanon 1000\ntotal_rss 2000\n");
        assert_eq!(from_files(&file("max", "10000\n"), &stat, "anon"), Some(9000));
        assert_eq!(from_files(&file("limit", "10000\n"), &stat, "total_rss"), Some(8000));
        assert_eq!(from_files(&file("unlimited", "max\n"), &stat, "anon"), None);
        assert_eq!(from_files(Path::new("/nowhere"), &stat, "anon"), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        let reserve = HEADROOM_RESERVE_BYTES;
        assert_eq!(missing_bytes(100, None), None);
        assert_eq!(missing_bytes(100, Some(reserve + 100)), None);
        assert_eq!(missing_bytes(101, Some(reserve + 100)), Some(1));
    }
}
