# shellcheck shell=bash
# etcd, API server, controller manager and scheduler, on the address of the node in its network
# namespace.

kube() { KUBECACHEDIR=$state/kubectl "$(tools_dir)/kubectl" --kubeconfig "$state/config/admin.kubeconfig" "$@"; }

start_api_server() {
    local bin=$state/bin # path inside the mount namespace
    # No fsync: the data of the cluster is disposable, and fsync would slow down the tests.
    start etcd "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster default=http://127.0.0.1:2380
    start kube-apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
        --bind-address "$node_address" --advertise-address "$node_address" --secure-port 6443 \
        --service-cluster-ip-range "$service_range" --allow-privileged=true \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" --kubelet-client-key "$pki/apiserver-kubelet-client.key" \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$pki/service-account.key" --service-account-signing-key-file "$pki/service-account.key" \
        --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
        --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
        --requestheader-username-headers X-Remote-User \
        --proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key"
    wait_for_start kube get --raw /readyz
}

start_controllers() {
    local bin=$state/bin # path inside the mount namespace
    start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$state/config/controller-manager.kubeconfig" \
        --use-service-account-credentials --service-account-private-key-file "$pki/service-account.key" \
        --root-ca-file "$pki/ca.crt" --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
        --allocate-node-cidrs --cluster-cidr "$pod_range" --service-cluster-ip-range "$service_range" \
        --node-cidr-mask-size 24 --leader-elect=false --bind-address 127.0.0.1 \
        --horizontal-pod-autoscaler-sync-period 5s
    start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$state/config/scheduler.kubeconfig" --leader-elect=false \
        --bind-address 127.0.0.1
}
