//! Number of CPUs of this process.

/// Number of CPUs that the process may use, by its affinity and the quota of its container.
pub fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
