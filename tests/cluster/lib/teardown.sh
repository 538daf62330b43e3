# shellcheck shell=bash
# Removes all remains of a cluster, even if it never started completely: processes, mounts, cgroups,
# network, files.

marked_processes() { # processes that `start` marked, and their children
    grep -lzxs "RECMESH_CLUSTER=$name" /proc/[0-9]*/environ | cut -d / -f 3
    return 0
}

pod_processes() { # processes in the cgroups of the node
    local root
    while read -r root; do
        [ -d "$root/$cgroup" ] && find "$root/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null
    done < <(cgroup_roots)
    return 0
}

kill_all() { # kill_all LIST_FUNCTION: kills the listed processes until none remains
    local round pids
    for round in $(seq 1 100); do
        mapfile -t pids < <("$1" | sort -u)
        [ ${#pids[@]} -eq 0 ] && return
        kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.05
    done
    echo "processes still running after SIGKILL: ${pids[*]} (after $round attempts)" >&2
    return 1
}

unmount_all() {
    local round mounts
    for round in 1 2 3 4 5; do
        mapfile -t mounts < <(awk -v prefix="$state/" 'index($2, prefix) == 1 {print $2}' /proc/mounts | sort -r)
        [ ${#mounts[@]} -eq 0 ] && return
        umount -l "${mounts[@]}" 2>/dev/null || true
    done
    echo "mounts remain after $round attempts: ${mounts[*]}" >&2
    return 1
}

remove_cgroups() {
    local root round
    while read -r root; do
        for round in $(seq 1 50); do # the kernel releases a cgroup shortly after its last process
            [ -d "$root/$cgroup" ] || continue 2
            find "$root/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        echo "cgroup $root/$cgroup cannot be removed (after $round attempts)" >&2
        return 1
    done < <(cgroup_roots)
}

# kubectl caches the API discovery by address for hours. The next cluster at this address may have
# other APIs.
remove_discovery_cache() {
    [ -e "$state/network" ] || return 0
    read_network
    rm -rf "${HOME:-/root}/.kube/cache/discovery/${node_address}_6443"
}

tear_down() {
    # kubelet and containerd first, so that they do not restart pods; then the pods.
    kill_all marked_processes
    kill_all pod_processes
    unmount_all
    remove_cgroups
    remove_namespaces
    remove_discovery_cache
    rm -rf "${state:?}"
}

down() {
    kill_all lock_holders # a running `up`, or processes that a killed `up` left
    take_lock
    tear_down
    drop_lock
}
