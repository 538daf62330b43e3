# shellcheck shell=bash
# Namespaces of the node: a network namespace, connected by a veth pair, and a mount namespace with
# private copies of the directories that Kubernetes hard-codes (/run/containerd, /var/lib/cni,
# /var/lib/kubelet, /var/log/containers, …). Network and files of the host do not change, and `down`
# mainly releases both namespaces.

make_namespaces() {
    mkdir -p "$state"/{namespaces,bin,private/{run,log,opt,"lib/recmesh-cluster/$name"}}
    ip netns add "$namespace"
    make_veth
    read_network
    ip addr add "$host_address/24" dev "$veth"
    ip link set "$veth" up
    ip -n "$namespace" link set lo up
    ip -n "$namespace" addr add "$node_address/24" dev eth0
    ip -n "$namespace" link set eth0 up
    ip -n "$namespace" route add default via "$host_address"
    # Routes from the host to pods and Services, for load tests. They are removed together with the
    # veth.
    ip route add "$pod_range" via "$node_address" dev "$veth"
    ip route add "$service_range" via "$node_address" dev "$veth"
    # A mount namespace can be bound to a file only below a private mount.
    mount --bind "$state/namespaces" "$state/namespaces"
    mount --make-private "$state/namespaces"
    touch "$state/namespaces/mount"
    unshare --mount="$state/namespaces/mount" --propagation slave \
        bash -euc "$(declare -f set_up_mounts); set_up_mounts $(printf '%q ' "$state" "$name" "$(tools_dir)")"
    # Pods are routed (CNI plugin ptp), not bridged, so Service traffic needs no br_netfilter.
    in_namespaces sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

set_up_mounts() { # set_up_mounts STATE NAME TOOLS: runs inside the new mount namespace
    local state=$1 name=$2 tools=$3
    mount --bind "$tools" "$state/bin" # the cache may be below a directory that is replaced next
    # /var/lib becomes an empty directory that contains only the state directory.
    mount --rbind "$state" "$state/private/lib/recmesh-cluster/$name"
    mount --rbind "$state/private/lib" /var/lib
    mount --bind "$state/private/log" /var/log
    mount --bind "$state/private/opt" /opt
    mount --bind "$state/private/run" /run
    mount --make-rshared /
}

# Reserves the first free index by creating its veth. Of two clusters that start concurrently, only
# one can do so.
make_veth() {
    local index
    for index in $(seq 1 250); do
        if ip -4 -o addr show | grep -q " 10\.21[34]\.$index\." || ip -4 route show | grep -q "^10\.21[34]\.$index\." ||
            ip -4 route show | grep -qF "$(service_prefix "$index").0/20"; then
            continue
        fi
        if ip link add "rcm$index" type veth peer name eth0 netns "$namespace" 2>/dev/null; then
            echo "$index" >"$state/network"
            return
        fi
    done
    fail "no free network: each N of 10.213.N.0/24, 10.214.N.0/24 and its range of Services is in use; remove a cluster with tests/cluster/cluster down --name NAME"
}

# Services have 4,094 addresses, because the benchmarks create a Service for each of 2,000 Recommenders:
# 16 clusters share the second byte.
service_prefix() { # service_prefix INDEX: the first three bytes
    echo "10.$((216 + $1 / 16)).$(($1 % 16 * 16))"
}

read_network() {
    local index
    index=$(cat "$state/network")
    veth=rcm$index
    host_address=10.213.$index.1
    node_address=10.213.$index.2
    pod_range=10.214.$index.0/24
    service_range=$(service_prefix "$index").0/20
    api_service_address=$(service_prefix "$index").1
    dns_address=$(service_prefix "$index").10
}

# `ip netns exec` would mount a new /sys without cgroups; kubelet needs the real one.
in_namespaces() { nsenter --net="/run/netns/$namespace" --mount="$state/namespaces/mount" "$@"; }

# start NAME COMMAND…: starts a background process in the namespaces, with an environment variable
# by which `down` finds it and its children.
start() {
    local process=$1
    shift
    PATH=$state/bin:$PATH RECMESH_CLUSTER=$name setsid \
        nsenter --net="/run/netns/$namespace" --mount="$state/namespaces/mount" "$@" \
        >"$state/logs/$process.log" 2>&1 </dev/null 9>&- &
    echo $! >"$state/pids/$process"
    disown
}

# wait_for_start COMMAND…: retries the command until it succeeds. Fails at once if a process of the
# cluster has ended.
wait_for_start() {
    wait_for "$start_seconds" succeeded_or_ended "$@"
    local ended
    ended=$(ended_processes)
    [ -z "$ended" ] || fail "ended at its start: $ended"
}

succeeded_or_ended() { [ -n "$(ended_processes)" ] || "$@"; }

ended_processes() { # prints their names; a process that nobody has waited for is a zombie
    local file
    for file in "$state"/pids/*; do
        grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$(cat "$file")/status" || basename "$file"
    done
}

remove_namespaces() {
    # Deleting the inner end deletes the pair immediately; deleting the namespace would do so with a
    # delay.
    ip -n "$namespace" link delete eth0 2>/dev/null || true
    [ -e "/run/netns/$namespace" ] && ip netns delete "$namespace"
    # `ip netns` leaves a bind mount of the directory on itself. If the directory is empty, the
    # mount is unused.
    rmdir /run/netns 2>/dev/null || { [ -z "$(ls -A /run/netns 2>/dev/null)" ] && umount /run/netns 2>/dev/null && rmdir /run/netns; }
    return 0
}
