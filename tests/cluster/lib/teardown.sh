# shellcheck shell=bash
# Removes every trace of a cluster, also of one that never came up: processes, mounts, cgroups, network, files.

marked_processes() { # processes that `start` marked, and their children
    grep -lzxs "RECMESH_CLUSTER=$name" /proc/[0-9]*/environ | cut -d / -f 3
    return 0
}

pod_processes() { # processes in the node's cgroups
    local root
    while read -r root; do
        [ -d "$root/$cgroup" ] && find "$root/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null
    done < <(cgroup_roots)
    return 0
}

kill_all() { # kill_all LISTER: until none is left
    local round pids
    for round in $(seq 1 100); do
        mapfile -t pids < <("$1" | sort -u)
        [ ${#pids[@]} -eq 0 ] && return
        kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.05
    done
    echo "processes survive SIGKILL: ${pids[*]} (after $round rounds)" >&2
    return 1
}

unmount_all() {
    local round mounts
    for round in 1 2 3 4 5; do
        mapfile -t mounts < <(awk -v prefix="$state/" 'index($2, prefix) == 1 {print $2}' /proc/mounts | sort -r)
        [ ${#mounts[@]} -eq 0 ] && return
        umount -l "${mounts[@]}" 2>/dev/null || true
    done
    echo "mounts remain after $round rounds: ${mounts[*]}" >&2
    return 1
}

remove_cgroups() {
    local root round
    while read -r root; do
        for round in $(seq 1 50); do # the kernel needs a moment after the last process
            [ -d "$root/$cgroup" ] || continue 2
            find "$root/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        echo "cgroup $root/$cgroup cannot be removed (after $round rounds)" >&2
        return 1
    done < <(cgroup_roots)
}

# kubectl remembers by address for hours what a server offers; the next cluster at this address offers something else.
forget_discovery() {
    [ -e "$state/network" ] || return 0
    read_network
    rm -rf "${HOME:-/root}/.kube/cache/discovery/${node_address}_6443"
}

tear_down() {
    # kubelet and containerd first, so that nothing starts pods again; then the pods.
    kill_all marked_processes
    kill_all pod_processes
    unmount_all
    remove_cgroups
    remove_namespaces
    forget_discovery
    rm -rf "${state:?}"
}

down() {
    kill_all lock_holders # an `up` that runs, or what an `up` that was killed left running
    take_lock
    tear_down
    drop_lock
}
