//! Checks before a fetch whether a snapshot fits into the memory that the container may still use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::limits::HEADROOM_RESERVE_BYTES;

/// Where control groups are mounted: version 2, and the memory controller of version 1.
const UNIFIED: &str = "/sys/fs/cgroup";
const MEMORY_CONTROLLER: &str = "/sys/fs/cgroup/memory";

/// Bytes that the process may use beyond the current anonymous memory of its control group; `None`
/// without a limit, or outside Linux. File pages do not count as used: the kernel reclaims those of
/// the old snapshot for the new one. In a container the mounted group is the process's own;
/// elsewhere it is below the mount, and each group above it may have a limit.
pub fn headroom_bytes() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unified = groups(Path::new(UNIFIED), own_group(&own, ""));
    let controller = groups(Path::new(MEMORY_CONTROLLER), own_group(&own, "memory"));
    let in_unified =
        unified.iter().filter_map(|group| from_files(&group.join("memory.max"), &group.join("memory.stat"), "anon"));
    let in_controller = controller
        .iter()
        .filter_map(|group| from_files(&group.join("memory.limit_in_bytes"), &group.join("memory.stat"), "total_rss"));
    in_unified.chain(in_controller).min()
}

/// The group of a process as `/proc/<pid>/cgroup` names it: `<number>:<controllers>:<path>` a line.
fn own_group<'a>(lines: &'a str, controller: &str) -> &'a str {
    let fields = |line: &'a str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    };
    let found = lines.lines().filter_map(fields).find(|(names, _)| names.split(',').any(|name| name == controller));
    found.map_or("", |(_, path)| path)
}

/// The group's directory and those above it, down to the mount.
fn groups(mount: &Path, own: &str) -> Vec<PathBuf> {
    let own = Path::new(own.trim_start_matches('/'));
    own.ancestors().map(|group| mount.join(group)).collect()
}

fn from_files(limit: &Path, stat: &Path, anonymous: &str) -> Option<u64> {
    let limit = fs::read_to_string(limit).ok()?.trim().parse::<u64>().ok()?; // "max" means no limit
    let stat = fs::read_to_string(stat).ok()?;
    let used: u64 = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == anonymous)
        .and_then(|(_, value)| value.trim().parse().ok())?;
    Some(limit.saturating_sub(used))
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
    fn the_own_group_and_all_groups_above_it_are_read() {
        let version_1 = "9:name=systemd:/\n4:cpu,memory:/kubepods/pod1/abc\n0::/\n";
        let version_2 = "0::/system.slice/a:b.service\n";
        assert_eq!(own_group(version_1, "memory"), "/kubepods/pod1/abc");
        assert_eq!(own_group(version_1, ""), "/");
        assert_eq!(own_group(version_2, ""), "/system.slice/a:b.service");
        assert_eq!(own_group(version_2, "memory"), "");
        let paths = |own: &str| groups(Path::new("/m"), own);
        assert_eq!(paths("/a/b"), [Path::new("/m/a/b"), Path::new("/m/a"), Path::new("/m/")]);
        assert_eq!(paths("/"), [Path::new("/m/")]);
    }

    #[test]
    fn missing_bytes_are_reported() {
        let reserve = HEADROOM_RESERVE_BYTES;
        assert_eq!(missing_bytes(100, None), None);
        assert_eq!(missing_bytes(100, Some(reserve + 100)), None);
        assert_eq!(missing_bytes(101, Some(reserve + 100)), Some(1));
    }
}
