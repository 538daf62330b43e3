# shellcheck shell=bash
# Output for the user: one line per step with its duration, and error messages.

log() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step TEXT COMMAND…: runs the command with its output in a log file, and prints the end of it if
# the command fails.
step() {
    local text=$1 begin end output
    shift
    output=$(mktemp)
    begin=$(date +%s%N)
    [ ! -t 1 ] || printf '%-58s …\r' "$text"
    # The step runs in a subshell outside any condition, because errexit applies only there. Steps
    # therefore pass data in files, not in variables.
    set +e
    (
        set -e
        "$@"
    ) >"$output" 2>&1
    local status=$?
    set -e
    if [ $status -ne 0 ]; then
        printf '%-58s failed\n' "$text"
        tail -n 25 "$output" >&2
        rm -f "$output"
        fail "$text: see the output above; the logs of the cluster are in ${state:-}/logs"
    fi
    end=$(date +%s%N)
    printf '%-58s %5d.%d s\n' "$text" $(((end - begin) / 1000000000)) $(((end - begin) / 100000000 % 10))
    rm -f "$output"
}

# Maximum wait for a process to start or to be ready, in seconds. It only ends a start that hangs.
# shellcheck disable=SC2034 # used by the scripts that source this one
start_seconds=600

# wait_for SECONDS COMMAND…: retries the command until it succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            echo "timed out waiting for: $*" >&2
            return 1
        fi
        sleep 0.2
    done
}
