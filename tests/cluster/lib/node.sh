# shellcheck shell=bash
# The node: containerd with runc, kubelet and kube-proxy. Works on cgroup v1, hybrid and v2.

cgroup_roots() { # every hierarchy in which the node has a group of its own
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
        for file in cpuset.cpus cpuset.mems; do # empty in a new v1 group, and then no process may enter
            [ -e "$root/$file" ] && cat "$root/$file" >"$root/$cgroup/$file"
        done
        if [ -e "$root/cgroup.controllers" ] && [ "$root" = /sys/fs/cgroup ]; then
            sed 's/[^ ]\+/+&/g' "$root/cgroup.controllers" >"$root/cgroup.subtree_control" || true
            sed 's/[^ ]\+/+&/g' "$root/$cgroup/cgroup.controllers" >"$root/$cgroup/cgroup.subtree_control" || true
        fi
    done < <(cgroup_roots)
    return 0
}

containerd_socket() { echo "$state/containerd/containerd.sock"; }

fill() { # fill TEMPLATE: replaces @name@ by the shell variable of that name
    local text key
    text=$(cat "$here/config/$1")
    for key in state pki cgroup node node_address pod_range dns_address runc; do
        text=${text//@$key@/${!key}}
    done
    printf '%s\n' "$text"
}

start_node() {
    local bin runc
    bin=$(tools_dir)
    runc=$(command -v runc)
    make_cgroups
    mkdir -p "$state"/{containerd,kubelet,cni,volumes}
    fill containerd.toml >"$state/config/containerd.toml"
    fill cni.conflist >"$state/cni/10-bridge.conflist"
    fill kubelet.yaml >"$state/config/kubelet.yaml"
    : >"$state/config/resolv.conf" # no upstream resolver: the cluster answers for itself only
    PATH=$bin:$PATH start containerd "$bin/containerd" --config "$state/config/containerd.toml"
    wait_for 30 ctr version
    load_images "$(addons_dir)"/*.tar
    start kubelet "$bin/kubelet" --config "$state/config/kubelet.yaml" --kubeconfig "$state/config/kubelet.kubeconfig" \
        --root-dir "$state/kubelet" --hostname-override "$node" --node-ip "$node_address"
    start kube-proxy "$bin/kube-proxy" --kubeconfig "$state/config/proxy.kubeconfig" --proxy-mode nftables \
        --cluster-cidr "$pod_range" --hostname-override "$node" --conntrack-max-per-core 0 --oom-score-adj 0 \
        --bind-address 127.0.0.1
}

ctr() { "$(tools_dir)/ctr" --address "$(containerd_socket)" --namespace k8s.io "$@"; }

load_images() {
    local file
    for file in "$@"; do
        [ -r "$file" ] || fail "image archive $file: not readable"
        # --local: containerd needs no unpacked layers but those it runs
        # Its warnings are about the containerd that we chose; its errors are kept.
        ctr images import --local "$file" 2> >(grep -v level=warning >&2) | tail -n 1
    done
}

node_is_ready() {
    [ "$(kube get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

wait_node_ready() { wait_for 120 node_is_ready; }

show_status() {
    local file pid
    [ -d "$state" ] || { say "cluster $name: not there"; return; }
    for file in "$state"/pids/*; do
        pid=$(cat "$file")
        printf '%-26s %s\n' "$(basename "$file")" "$(ps -o pid=,etime=,rss= -p "$pid" 2>/dev/null | awk '{printf "pid %s, up %s, %d MiB", $1, $2, $3/1024}' || true)"
    done
    kube get nodes -o wide
    kube get pods -A
}
