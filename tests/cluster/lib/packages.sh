# shellcheck shell=bash
# Debian packages that node and tests need. Kubernetes itself is built from source.

packages=(
    # the node
    runc containernetworking-plugins nftables iptables ipset conntrack socat buildah busybox-static openssl util-linux iproute2 ca-certificates
    # the tests
    shellcheck curl jq lua5.4 g++
)

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null || fail "not Debian or Ubuntu: install the equivalents of: ${packages[*]}"
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" = 0 ] || fail "packages are missing; run as root: apt-get install ${missing[*]}"
    update_package_lists
    DEBIAN_FRONTEND=noninteractive apt_get install -y -qq --no-install-recommends "${missing[@]}" </dev/null
}

# apt_get ARGUMENT…: waits for another process that installs packages, and repeats failed downloads. Runs
# without the lock (file descriptor 9), so that `down` does not kill dpkg.
apt_get() { apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 "$@" 9>&-; }

# The lists have a lock of their own, for which apt-get does not wait, and a mirror may change while they
# are downloaded.
update_package_lists() {
    local attempt
    for attempt in $(seq 10); do
        [ "$attempt" = 1 ] || sleep 10
        apt_get update -qq && return
    done
    return 1
}
