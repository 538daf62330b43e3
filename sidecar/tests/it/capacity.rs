//! A snapshot that exceeds the memory limit of the process, in a real control group.

use std::path::{Path, PathBuf};

use sidecar_contract::{RevisionRef, ServingLimits};

use crate::{
    model::train,
    process::{configure, file_store, last_good, put, recommend, start, wait_for},
};

const LIMIT_BYTES: u64 = 256 << 20;

/// A control group with a memory limit, below the test's own; removed on drop.
struct Group(PathBuf);

impl Group {
    fn new() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = |controller: &str| {
            own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                (fields.next()? == controller).then(|| fields.next().unwrap().trim_start_matches('/').to_owned())
            })
        };
        let name = format!("recmesh-test-{}", std::process::id());
        let (group, limit) = if let Some(own) = path("memory") {
            (Path::new("/sys/fs/cgroup/memory").join(own).join(name), "memory.limit_in_bytes")
        } else {
            // In cgroup v2 a group with child groups cannot have processes, except the root group.
            let _ = std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
            (Path::new("/sys/fs/cgroup").join(name), "memory.max")
        };
        std::fs::create_dir(&group).expect("cannot create a control group (this test needs root)");
        std::fs::write(group.join(limit), LIMIT_BYTES.to_string())
            .expect("cannot set the limit: the memory controller is missing");
        Self(group)
    }

    fn add(&self, process: u32) {
        std::fs::write(self.0.join("cgroup.procs"), process.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The processes have exited or are exiting.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_does_not_fit_is_rejected_before_loading() {
    let group = Group::new();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let (first, second) = (put(&store, &train(at, 3).await).await, put(&store, &train(at, 4).await).await);
    let process = start(at);
    group.add(process.child.id());
    configure(at, &store, std::slice::from_ref(&first), ServingLimits::default());
    wait_for("the first revision", || process.is_ready());
    // The snapshot size in the config is over the limit, so nothing is fetched.
    let large = RevisionRef { snapshot_bytes: LIMIT_BYTES, ..second.clone() };
    configure(at, &store, &[large, last_good(&first)], ServingLimits::default());
    wait_for("the report", || process.report().failure.is_some());
    let report = process.report();
    let failure = report.failure.unwrap();
    assert_eq!((&failure.digest, failure.reason.as_str()), (&second.digest, "CapacityInsufficient"));
    assert!(failure.message.contains("spec.serving.resources.limits.memory"), "{failure:?}");
    assert_eq!(report.loaded.unwrap().digest, first.digest);
    assert_eq!(recommend(process.port, 3).0, 200);
    assert!(!at.join("cache/snapshots").join(format!("{}.safetensors", second.digest)).exists());
    // A download is aborted when it exceeds the size in the config.
    let understated = RevisionRef { snapshot_bytes: second.snapshot_bytes - 1, ..second.clone() };
    configure(at, &store, &[understated, last_good(&first)], ServingLimits::default());
    wait_for("the report", || {
        process.report().failure.is_some_and(|failure| !failure.message.contains("spec.serving"))
    });
    assert_eq!(process.report().failure.unwrap().reason, "CapacityInsufficient");
    // A snapshot that fits is loaded.
    configure(at, &store, std::slice::from_ref(&second), ServingLimits::default());
    wait_for("the second revision", || process.report().loaded.is_some_and(|model| model.digest == second.digest));
}
