# shellcheck shell=bash
# Where the node lives: a network namespace, reached over a veth pair, and a mount namespace in which the directories
# that Kubernetes hard-codes (/run/containerd, /var/lib/cni, /var/lib/kubelet, /var/log/containers, …) are the cluster's
# own. The host's network and files stay as they are, and most of `down` is letting go of the two.

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
    # Pods and services from the host, for load tests; the routes go with the veth.
    ip route add "$pod_range" via "$node_address" dev "$veth"
    ip route add "$service_range" via "$node_address" dev "$veth"
    # A mount namespace can be kept in a file only below a private mount.
    mount --bind "$state/namespaces" "$state/namespaces"
    mount --make-private "$state/namespaces"
    touch "$state/namespaces/mount"
    unshare --mount="$state/namespaces/mount" --propagation slave \
        bash -euc "$(declare -f arrange_mounts); arrange_mounts $(printf '%q ' "$state" "$name" "$(tools_dir)")"
    # Pods are routed (CNI plugin ptp), not bridged: service traffic needs no br_netfilter.
    inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

arrange_mounts() { # arrange_mounts STATE NAME TOOLS: runs inside the new mount namespace
    local state=$1 name=$2 tools=$3
    mount --bind "$tools" "$state/bin" # the cache may stand below a directory that is replaced next
    # /var/lib becomes an empty directory with the state in its place.
    mount --rbind "$state" "$state/private/lib/recmesh-cluster/$name"
    mount --rbind "$state/private/lib" /var/lib
    mount --bind "$state/private/log" /var/log
    mount --bind "$state/private/opt" /opt
    mount --bind "$state/private/run" /run
    mount --make-rshared /
}

# Names the first free index by taking its veth, which only one of two clusters that start at once can do.
make_veth() {
    local index
    for index in $(seq 1 250); do
        if ip -4 -o addr show | grep -q " 10\.21[345]\.$index\." || ip -4 route show | grep -q "^10\.21[345]\.$index\."; then
            continue
        fi
        if ip link add "rcm$index" type veth peer name eth0 netns "$namespace" 2>/dev/null; then
            echo "$index" >"$state/network"
            return
        fi
    done
    fail "no free network: 10.213.1.0/24 to 10.213.250.0/24 are all in use"
}

read_network() {
    local index
    index=$(cat "$state/network")
    veth=rcm$index
    host_address=10.213.$index.1
    node_address=10.213.$index.2
    pod_range=10.214.$index.0/24
    service_range=10.215.$index.0/24
    api_service_address=10.215.$index.1
    dns_address=10.215.$index.10
}

# `ip netns exec` would mount a fresh /sys without cgroups; kubelet needs the real one.
inside() { nsenter --net="/run/netns/$namespace" --mount="$state/namespaces/mount" "$@"; }

# start NAME COMMAND…: in the background, inside the namespaces, marked so that `down` finds it and its children.
start() {
    local process=$1
    shift
    PATH=$state/bin:$PATH RECMESH_CLUSTER=$name setsid \
        nsenter --net="/run/netns/$namespace" --mount="$state/namespaces/mount" "$@" \
        >"$state/logs/$process.log" 2>&1 </dev/null 9>&- &
    echo $! >"$state/pids/$process"
    disown
}

remove_namespaces() {
    # Taking the inner end away takes the pair at once; the end of the namespace would take it some time later.
    ip -n "$namespace" link delete eth0 2>/dev/null || true
    [ -e "/run/netns/$namespace" ] && ip netns delete "$namespace"
    # `ip netns` leaves a mount of the directory on itself; empty, nobody uses it.
    rmdir /run/netns 2>/dev/null || { [ -z "$(ls -A /run/netns 2>/dev/null)" ] && umount /run/netns 2>/dev/null && rmdir /run/netns; }
    return 0
}
