# shellcheck shell=bash
# Builds Kubernetes, etcd, containerd, helm and the add-ons from the Go modules that pin them: tools/,
# and addons/ and policies/ for programs whose dependencies do not fit into one module with the
# others. All pin the same version of every module that they share, so that each package is compiled
# once. Binaries are stored outside the repository, keyed by the checksum of their module: a second
# run builds nothing, and branches do not interfere.

cache=${RECMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/recmesh}
kubernetes_version=$(sed -n "s,^\tk8s.io/kubernetes \(v[0-9.]*\).*,\1,p" "$here/tools/go.mod")

module_dir() { # module_dir tools|addons|policies|buckets
    local sum
    sum=$(find "$here/$1" -type f \( -name 'go.*' -o -name '*.go' \) -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
    echo "$cache/$1/$sum/bin"
}

tools_dir() { module_dir tools; }
addons_dir() { module_dir addons; }
policies_dir() { module_dir policies; }
buckets_dir() { module_dir buckets; }

# build MODULE TARGET…: marks the directory as complete at the end, so that an interrupted build is
# repeated.
build() {
    local module=$1 dir major minor
    dir=$(module_dir "$module")
    shift
    [ -e "$dir/.complete" ] && return
    command -v go >/dev/null || fail "building Kubernetes requires Go 1.26 or newer: install it from https://go.dev/dl"
    mkdir -p "$dir"
    exec 8>"$dir/.lock"
    flock 8
    [ -e "$dir/.complete" ] && return # another process built it meanwhile
    IFS=. read -r major minor _ <<<"${kubernetes_version#v}"
    local version=k8s.io/component-base/version
    (cd "$here/$module" && GOBIN=$dir CGO_ENABLED=0 GOFLAGS=-mod=readonly go install -trimpath \
        -ldflags "-s -w -X $version.gitVersion=$kubernetes_version -X $version.gitMajor=$major -X $version.gitMinor=$minor" "$@")
    [ ! -e "$dir/server" ] || ln -sf server "$dir/etcd" # the module names the etcd binary `server`
    touch "$dir/.complete"
}

# `./...` are small programs of the tests: pause and fetch for the add-ons, and kstatus, which prints
# the status that Argo, Flux and others compute for an object.
build_tools() {
    build tools tool ./...
    build addons tool
    build policies ./...
}

# Third-party object store servers, for the tests of sources and stores.
build_buckets() { build buckets tool; }
