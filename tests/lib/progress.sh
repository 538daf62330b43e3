# shellcheck shell=bash
# Progress of a long command, with or without a terminal: which step runs, how long it has run, and
# how long it is expected to run. Steps run one after the other.
#
#   progress_begin NAME STEPS        declares a command with this number of steps
#   progress TEXT SECONDS COMMAND…   runs a step, which takes about SECONDS on two idle cores when
#                                    nothing is built yet
#   progress_table                   prints the duration of each step

progress_heartbeat_seconds=30
# Durations of the last run on this machine: a better estimate than the one in the script.
progress_dir=${RECMESH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/recmesh}/durations
progress_number=0 progress_total=0 progress_name='' progress_began=$SECONDS
progress_rows=() progress_heartbeat_pid=''

progress_begin() {
    progress_name=$1 progress_total=$2 progress_number=0 progress_began=$SECONDS
    progress_rows=()
    mkdir -p "$progress_dir"
    trap progress_exit EXIT
}

# duration SECONDS: prints it as people read it.
duration() {
    if [ "$1" -lt 60 ]; then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi
}

# free_gib: free space of the file system of the working directory, where the builds go.
free_gib() { df --output=avail --block-size=1G . | tail -n 1 | tr -d ' '; }

progress() {
    local text=$1 expected=$2 record since took
    shift 2
    progress_number=$((progress_number + 1))
    record=$progress_dir/$progress_name-$progress_number
    # A step that was renamed or moved has no record.
    if [ "$(sed -n 1p "$record" 2>/dev/null)" = "$text" ]; then expected=$(sed -n 2p "$record"); fi
    since=$SECONDS
    printf '\n=== [%d/%d] %s (expected: %s; elapsed: %s; free disk space: %s GiB)\n' "$progress_number" "$progress_total" \
        "$text" "$(duration "$expected")" "$(duration $((SECONDS - progress_began)))" "$(free_gib)"
    progress_heartbeat "$since" "$expected" &
    progress_heartbeat_pid=$!
    disown "$progress_heartbeat_pid"
    "$@"
    progress_stop_heartbeat
    took=$((SECONDS - since))
    printf '%s\n%d\n' "$text" "$took" >"$record"
    progress_rows+=("$(printf '%6d s  %s' "$took" "$text")")
    printf '=== [%d/%d] done in %s\n' "$progress_number" "$progress_total" "$(duration "$took")"
}

progress_stop_heartbeat() {
    [ -z "$progress_heartbeat_pid" ] || kill "$progress_heartbeat_pid" 2>/dev/null || true
    progress_heartbeat_pid=''
}

# The heartbeat ends with the script, however the script ends. A script that has more to clean up
# defines on_exit.
progress_exit() {
    [ "$BASHPID" = $$ ] || return 0 # a heartbeat that was stopped
    progress_stop_heartbeat
    if declare -F on_exit >/dev/null; then on_exit; fi
}

progress_heartbeat() { # progress_heartbeat SINCE EXPECTED
    # A sleep that outlives the heartbeat must not keep a pipe of the caller open.
    while sleep "$progress_heartbeat_seconds" >/dev/null 2>&1; do
        printf '    [%d/%d] running for %s of about %s\n' "$progress_number" "$progress_total" \
            "$(duration $((SECONDS - $1)))" "$(duration "$2")"
    done
}

progress_table() {
    printf '\n'
    printf '%s\n' "${progress_rows[@]}"
    printf '%6d s  in total\n' $((SECONDS - progress_began))
}
