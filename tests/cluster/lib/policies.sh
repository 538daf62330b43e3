# shellcheck shell=bash
# Enforcement of NetworkPolicies on the node, by the firewall of kube-router (policies/).

start_policies() {
    # The cache may be below a directory that is replaced in the mount namespace.
    cp "$(policies_dir)/policies" "$state/policies"
    # Tests send requests to pods from the host, for which no policy can be written: it is neither a
    # pod nor the node. kube-router gives this mark to packets that a policy admits, and packets of
    # the host have it from the start.
    in_namespaces iptables -t mangle -A PREROUTING -i eth0 -s "$host_address" -j MARK --set-xmark 0x10000/0x10000
    start policies "$state/policies" --kubeconfig "$state/config/policies.kubeconfig" --node "$node" \
        --service-range "$service_range"
    wait_for_start policies_are_enforced
}

# CoreDNS runs already, and every pod has a chain of its own.
policies_are_enforced() { [[ $(in_namespaces iptables -S KUBE-ROUTER-FORWARD) == *KUBE-POD-FW-* ]]; }
