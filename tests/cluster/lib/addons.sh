# shellcheck shell=bash
# Add-ons: DNS, a default StorageClass and resource metrics. Images are built from the binaries that
# tools/ and addons/ pin; nothing is pulled.

addon_images=(pause coredns local-path-provisioner metrics-server busybox)

buildah_in() { buildah --storage-driver vfs --root "$1/storage" --runroot "$1/run" "${@:2}"; }

make_addon_images() {
    local dir image work entrypoint complete
    dir=$(tools_dir)
    # The archives depend on both modules.
    complete=$dir/.images-$(sha256sum <<<"$(addons_dir)" | cut -c1-16)
    [ -e "$complete" ] && return
    cp "$(addons_dir)/local-path-provisioner" "$dir/"
    work=$dir/images-work
    rm -rf "$work"
    for image in "${addon_images[@]}"; do
        mkdir -p "$work/$image/root/bin" "$work/$image/root/tmp"
        entrypoint="[\"/bin/$image\"]"
        if [ "$image" = busybox ]; then
            cp "$(command -v busybox)" "$dir/fetch" "$work/$image/root/bin/"
            for applet in sh mkdir rm chmod sleep cat id touch httpd nslookup; do ln -s busybox "$work/$image/root/bin/$applet"; done
            entrypoint='["/bin/sh"]'
        else
            cp "$dir/$image" "$work/$image/root/bin/$image"
        fi
        printf 'FROM scratch\nCOPY root/ /\nENV PATH=/bin\nENTRYPOINT %s\n' "$entrypoint" >"$work/$image/Dockerfile"
        buildah_in "$work" bud --isolation chroot -q -t "localhost/recmesh/$image:1" "$work/$image"
        rm -f "$dir/$image.tar"
        buildah_in "$work" push -q "localhost/recmesh/$image:1" "docker-archive:$dir/$image.tar:localhost/recmesh/$image:1"
    done
    rm -rf "$work"
    touch "$complete"
}

install_addons() {
    local manifest
    for manifest in "$here"/addons/manifests/*.yaml; do
        sed -e "s/@dns_address@/$dns_address/g" -e "s#@state@#$state#g" "$manifest" |
            kube apply --server-side --field-manager=cluster -f -
    done
}

wait_addons() { kube -n kube-system rollout status deployment/coredns --timeout="${start_seconds}s"; }
