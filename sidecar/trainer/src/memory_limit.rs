//! The memory that the control groups of this process allow: the only reader of their files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are mounted: version 2, and the memory controller of version 1.
const UNIFIED: &str = "/sys/fs/cgroup";
const MEMORY_CONTROLLER: &str = "/sys/fs/cgroup/memory";

/// Limit of a control group, and the anonymous memory of its processes. File pages do not count as
/// used: the kernel reclaims them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Limit in bytes.
    pub bytes: u64,
    /// Anonymous memory in bytes.
    pub used: u64,
}

impl MemoryLimit {
    /// The limit that leaves the least; `None` without a limit, or outside Linux. In a container
    /// the mounted group is the process's own; elsewhere it is below the mount, and each group
    /// above it may have a limit.
    pub fn read() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let unified = groups(Path::new(UNIFIED), own_group(&own, ""));
        let controller = groups(Path::new(MEMORY_CONTROLLER), own_group(&own, "memory"));
        let in_unified = unified
            .iter()
            .filter_map(|group| Self::from_files(&group.join("memory.max"), &group.join("memory.stat"), "anon"));
        let in_controller = controller.iter().filter_map(|group| {
            Self::from_files(&group.join("memory.limit_in_bytes"), &group.join("memory.stat"), "total_rss")
        });
        in_unified.chain(in_controller).min_by_key(Self::headroom)
    }

    /// Bytes that may still be used.
    pub fn headroom(&self) -> u64 {
        self.bytes.saturating_sub(self.used)
    }

    fn from_files(limit: &Path, stat: &Path, anonymous: &str) -> Option<Self> {
        let bytes = fs::read_to_string(limit).ok()?.trim().parse::<u64>().ok()?; // "max" means no limit
        let stat = fs::read_to_string(stat).ok()?;
        let used = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == anonymous)
            .and_then(|(_, value)| value.trim().parse().ok())?;
        Some(Self { bytes, used })
    }
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
        let read = |limit: &Path, anonymous| MemoryLimit::from_files(limit, &stat, anonymous);
        let unified = read(&file("max", "10000\n"), "anon").unwrap();
        assert_eq!((unified, unified.headroom()), (MemoryLimit { bytes: 10_000, used: 1000 }, 9000));
        let controller = MemoryLimit { bytes: 10_000, used: 2000 };
        assert_eq!(read(&file("limit", "10000\n"), "total_rss"), Some(controller));
        assert_eq!(read(&file("unlimited", "max\n"), "anon"), None);
        assert_eq!(read(Path::new("/nowhere"), "anon"), None);
        assert_eq!(MemoryLimit { bytes: 1, used: 2 }.headroom(), 0);
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
}
