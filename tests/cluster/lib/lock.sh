# shellcheck shell=bash
# One `up` of a cluster at a time, and `down` ends it. The lock is file descriptor 9; the cluster's own processes do not
# inherit it, so whoever has the file open is a part of an `up` or a `down` that still runs.

take_lock() {
    mkdir -p "$(dirname "$lock")"
    while true; do
        exec 9>>"$lock"
        flock 9
        # `down` removes the file: whoever waited for the old one must wait for the new one.
        [ "$lock" -ef /proc/self/fd/9 ] && return
    done
}

drop_lock() {
    rm -f "$lock"
    rmdir "$(dirname "$lock")" 2>/dev/null || true
}

lock_holders() { # call before take_lock, or it finds this script
    local fd
    for fd in /proc/[0-9]*/fd/9; do
        [ "$fd" -ef "$lock" ] && cut -d / -f 3 <<<"$fd"
    done
    return 0
}
