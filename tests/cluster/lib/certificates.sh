# shellcheck shell=bash
# A certificate authority, another one for the aggregation layer, and a certificate for each client
# of the API server.

authority() { # authority NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$1" \
        -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

certificate() { # certificate NAME SUBJECT AUTHORITY [SUBJECT-ALTERNATIVE-NAMES]
    local extensions="extendedKeyUsage=clientAuth,serverAuth"
    [ -n "${4:-}" ] && extensions+=$'\n'"subjectAltName=$4"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$pki/$1.key" 2>/dev/null |
        openssl x509 -req -days 3650 -CA "$pki/$3.crt" -CAkey "$pki/$3.key" -CAcreateserial \
            -extfile <(echo "$extensions") -out "$pki/$1.crt" 2>/dev/null
}

kubeconfig_for() { # kubeconfig_for CERTIFICATE SERVER FILE
    cat >"$3" <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: recmesh-local
contexts: [{name: recmesh-local, context: {cluster: recmesh-local, user: $1}}]
clusters:
- name: recmesh-local
  cluster: {server: "$2", certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 <"$pki/$1.crt"), client-key-data: $(base64 -w0 <"$pki/$1.key")}
KUBECONFIG
    chmod 600 "$3"
}

make_certificates() {
    mkdir -p "$pki"
    chmod 700 "$pki"
    authority ca
    authority front-proxy-ca
    certificate apiserver "/CN=kube-apiserver" ca \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$node_address,IP:$api_service_address"
    certificate admin "/O=system:masters/CN=admin" ca
    certificate kubelet "/O=system:nodes/CN=system:node:$node" ca "DNS:$node,IP:$node_address"
    certificate controller-manager "/CN=system:kube-controller-manager" ca
    certificate scheduler "/CN=system:kube-scheduler" ca
    certificate proxy "/CN=system:kube-proxy" ca
    certificate policies "/CN=policies" ca
    certificate apiserver-kubelet-client "/O=system:masters/CN=apiserver-kubelet-client" ca
    certificate front-proxy-client "/CN=front-proxy-client" front-proxy-ca
    openssl ecparam -genkey -name prime256v1 -noout -out "$pki/service-account.key"
    local user
    for user in kubelet controller-manager scheduler proxy policies; do
        kubeconfig_for "$user" "https://$node_address:6443" "$state/config/$user.kubeconfig"
    done
    kubeconfig_for admin "https://$node_address:6443" "$state/config/admin.kubeconfig"
}
