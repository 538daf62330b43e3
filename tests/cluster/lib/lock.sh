# shellcheck shell=bash
# Lock of a cluster: only one `up` runs at a time, and `down` kills it. The lock is file descriptor
# 9. The processes of the cluster do not inherit it, so each process that has the file open belongs
# to a running `up` or `down`.

take_lock() {
    mkdir -p "$(dirname "$lock")"
    while true; do
        exec 9>>"$lock"
        flock 9
        # `down` removes the file. A process that waited for the old file must wait for the new one.
        [ "$lock" -ef /proc/self/fd/9 ] && return
    done
}

drop_lock() {
    rm -f "$lock"
    rmdir "$(dirname "$lock")" 2>/dev/null || true
}

lock_holders() { # call it before take_lock, or it also lists this script
    local fd
    for fd in /proc/[0-9]*/fd/9; do
        [ "$fd" -ef "$lock" ] && cut -d / -f 3 <<<"$fd"
    done
    return 0
}
