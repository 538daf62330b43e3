# shellcheck shell=bash
# A network namespace with a veth pair: the node lives inside, the host reaches it, nothing else of the host changes.

make_network() {
    local index
    for index in $(seq 1 250); do
        ip -4 addr show | grep -q "10\.213\.$index\.1/" || break
    done
    echo "$index" >"$state/network"
    read_network
    ip netns add "$namespace"
    ip link add "$veth" type veth peer name eth0 netns "$namespace"
    ip addr add "$host_address/24" dev "$veth"
    ip link set "$veth" up
    ip -n "$namespace" link set lo up
    ip -n "$namespace" addr add "$node_address/24" dev eth0
    ip -n "$namespace" link set eth0 up
    ip -n "$namespace" route add default via "$host_address"
    # Pods and services from the host, for load tests; the routes go with the veth.
    ip route add "$pod_range" via "$node_address" dev "$veth"
    ip route add "$service_range" via "$node_address" dev "$veth"
    # Pods are routed (CNI plugin ptp), not bridged: service traffic needs no br_netfilter.
    inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
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
inside() { nsenter --net="/run/netns/$namespace" "$@"; }

# start NAME COMMAND…: in the background, inside the namespace, marked so that `down` finds it and its children.
start() {
    local process=$1
    shift
    RECMESH_CLUSTER=$name setsid nsenter --net="/run/netns/$namespace" "$@" \
        >"$state/logs/$process.log" 2>&1 </dev/null 9>&- &
    echo $! >"$state/pids/$process"
    disown
}
