# shellcheck shell=bash
# What the user sees: one line a step with its seconds, and errors that say what to do.

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step TEXT COMMAND…: runs the command with its output in a log, and shows the end of it if it fails.
step() {
    local text=$1 begin end log
    shift
    log=$(mktemp)
    begin=$(date +%s%N)
    [ ! -t 1 ] || printf '%-58s …\r' "$text"
    # A subshell of its own, outside any condition: only so does errexit hold inside the step. Steps therefore hand
    # nothing over in variables, only in files.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    local status=$?
    set -e
    if [ $status -ne 0 ]; then
        printf '%-58s failed\n' "$text"
        tail -n 25 "$log" >&2
        rm -f "$log"
        fail "$text: see the lines above; logs of the cluster are in ${state:-}/logs"
    fi
    end=$(date +%s%N)
    printf '%-58s %5d.%d s\n' "$text" $(((end - begin) / 1000000000)) $(((end - begin) / 100000000 % 10))
    rm -f "$log"
}

# wait_for SECONDS COMMAND…: tries until it succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            echo "gave up waiting for: $*" >&2
            return 1
        fi
        sleep 0.2
    done
}
