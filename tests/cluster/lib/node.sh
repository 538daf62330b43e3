# shellcheck shell=bash
# The node: containerd with runc, kubelet and kube-proxy. Works on cgroup v1, hybrid and v2.

cgroup_roots() { # all hierarchies in which the node has a cgroup
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
    fi
}

make_cgroups() {
    local root file
    while read -r root; do
        mkdir -p "$root/$cgroup"
        for file in cpuset.cpus cpuset.mems; do # empty in a new v1 cgroup, and then it accepts no process
            [ -e "$root/$file" ] && cat "$root/$file" >"$root/$cgroup/$file"
        done
    done < <(cgroup_roots)
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        delegate /sys/fs/cgroup
        delegate "/sys/fs/cgroup/$cgroup"
    fi
}

delegate() { # delegate CGROUP: on v2, enables the controllers that kubelet requires for its children
    local controller
    for controller in cpu cpuset memory pids; do
        grep -qw "$controller" "$1/cgroup.subtree_control" || echo "+$controller" >"$1/cgroup.subtree_control" ||
            fail "cgroup v2: cannot delegate $controller in $1. In a container, move its processes to a child cgroup first"
    done
}

containerd_socket() { echo "$state/containerd/containerd.sock"; }

render_template() { # render_template FILE: replaces @name@ by the shell variable of that name
    local text key
    text=$(cat "$here/config/$1")
    for key in state pki cgroup node node_address pod_range dns_address runc; do
        text=${text//@$key@/${!key}}
    done
    printf '%s\n' "$text"
}

start_node() {
    local bin=$state/bin runc # path inside the mount namespace
    runc=$(command -v runc)
    make_cgroups
    mkdir -p "$state"/{containerd,kubelet,cni,volumes}
    render_template containerd.toml >"$state/config/containerd.toml"
    render_template cni.conflist >"$state/cni/10-ptp.conflist"
    render_template kubelet.yaml >"$state/config/kubelet.yaml"
    : >"$state/config/resolv.conf" # no upstream resolver: only cluster names are resolved
    start containerd "$bin/containerd" --config "$state/config/containerd.toml"
    wait_for_start ctr version
    load_images "$(tools_dir)"/*.tar
    start kubelet "$bin/kubelet" --config "$state/config/kubelet.yaml" --kubeconfig "$state/config/kubelet.kubeconfig" \
        --root-dir "$state/kubelet" --hostname-override "$node" --node-ip "$node_address"
    start kube-proxy "$bin/kube-proxy" --kubeconfig "$state/config/proxy.kubeconfig" --proxy-mode nftables \
        --cluster-cidr "$pod_range" --hostname-override "$node" --conntrack-max-per-core 0 --oom-score-adj 0 \
        --metrics-bind-address 127.0.0.1:10249
}

ctr() { in_namespaces "$state/bin/ctr" --address "$(containerd_socket)" --namespace k8s.io "$@"; }

load_images() {
    local file
    [ -S "$(containerd_socket)" ] || fail "cluster $name is not up: run tests/cluster/cluster up --name $name"
    for file in "$@"; do
        [ -r "$file" ] || fail "image archive $file is not readable; tests/cluster/images builds the images of Recmesh"
        # Reads from standard input, because the path may not exist in the mount namespace. With
        # --local, containerd unpacks only the layers that it runs. Warnings concern the chosen
        # containerd version and are dropped; errors are kept.
        ctr images import --local - <"$file" 2> >(grep -v level=warning >&2) | tail -n 1
    done
}

node_is_ready() {
    [ "$(kube get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

wait_node_ready() { wait_for_start node_is_ready; }

show_status() {
    local file line
    [ -d "$state/pids" ] || fail "cluster $name is not up: run tests/cluster/cluster up --name $name"
    for file in "$state"/pids/*; do
        line=$(ps -o pid=,etime=,rss= -p "$(cat "$file")" | awk '{printf "pid %s, up %s, %d MiB", $1, $2, $3/1024}') || true
        printf '%-26s %s\n' "$(basename "$file")" "${line:-not running; see $state/logs/$(basename "$file").log}"
    done
    kube --request-timeout=5s get nodes -o wide
    kube --request-timeout=5s get pods -A
}
