#!/usr/bin/env bash
# The stages of `make test`, in three lanes side by side: most tests wait for processes, and one after
# the other they take more than twice as long. Every stage runs, whatever became of the others; a table
# of all of them comes last. One lane's output is shown as it comes, that of the others is kept in
# .cache/test, and shown at the end where a stage failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Each stage with its budget: the seconds it may take beside the other lanes, on two cores that do
# nothing else. No lane's budgets are more than half an hour together. Taking longer is not a failure,
# but the table shows it.
readonly SHOWN_LANE=(lint:10 types:60 lint-template:40 unit:150 template:180 integration:600 coverage-floor:10 pooler:120 clients:80 e2e:450)
readonly QUIET_LANES=(
    "local-cloud:480 conformance:90 security:330 gallery:780"
    "faults:1260 cases:180 deployment:180"
)
read -ra ALL_STAGES <<<"${SHOWN_LANE[*]} ${QUIET_LANES[*]}"
readonly ALL_STAGES
readonly RESULTS=.cache/test
export COVERED=yes

# Leaves the exit status and the seconds in the stage's result, and pytest's counts beside them.
run_stage() {
    local stage=$1 started=$SECONDS status=0
    STAGE=$stage PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} --junitxml=$RESULTS/$stage.xml -p infra.tools.failures_at_once" \
        make "$stage" || status=$?
    echo "$status $((SECONDS - started))" >"$RESULTS/$stage.result"
    return "$status"
}

run_shown_lane() {
    local entry
    # A trap ends the lane once the stage that was interrupted has cleaned up.
    trap 'exit 130' INT TERM
    for entry in "${SHOWN_LANE[@]}"; do
        printf '\n== %s, after %d s\n' "${entry%:*}" "$SECONDS"
        run_stage "${entry%:*}" || printf '\n== FAILED: %s\n' "${entry%:*}"
    done
}

# One of QUIET_LANES.
run_quiet_lane() {
    local entry stage
    trap 'exit 130' INT TERM
    for entry in $1; do
        stage=${entry%:*}
        if run_stage "$stage" >"$RESULTS/$stage.log" 2>&1; then
            printf '\n== beside this: %s passed, after %d s\n' "$stage" "$SECONDS"
        else
            printf '\n== FAILED, beside this: %s (%s)\n' "$stage" "$RESULTS/$stage.log"
            grep -E '^(FAILED|ERROR) ' "$RESULTS/$stage.log" || true
        fi
    done
}

# A stage's exit status and seconds; 1 and 0 for one that was kept from running.
result_of() { cat "$RESULTS/$1.result" 2>/dev/null || echo 1 0; }

# One of the counts that pytest wrote down; nothing for a stage that runs no pytest.
count() {
    [[ ! -f $RESULTS/$1.xml ]] ||
        grep -oE "<testsuite [^>]*" "$RESULTS/$1.xml" | grep -oE " $2=\"[0-9]+\"" | tr -dc 0-9
}

show_table() {
    local entry stage status seconds tests passed failed note
    printf '\n%-14s %7s %7s %8s %7s\n' stage passed failed seconds budget
    for entry in "${ALL_STAGES[@]}"; do
        stage=${entry%:*} passed=- failed=- note=
        read -r status seconds <<<"$(result_of "$stage")"
        tests=$(count "$stage" tests)
        if [[ -n $tests ]]; then
            failed=$(($(count "$stage" failures) + $(count "$stage" errors)))
            passed=$((tests - failed - $(count "$stage" skipped)))
        fi
        ((seconds <= ${entry#*:})) || note=" over its budget"
        ((status == 0)) || note+=" FAILED"
        printf '%-14s %7s %7s %8s %7s%s\n' "$stage" "$passed" "$failed" "$seconds" "${entry#*:}" "$note"
    done
}

rm -rf "$RESULTS"
mkdir -p "$RESULTS"
export FAILURES=$PWD/$RESULTS/failures
: >"$FAILURES"
# Where the quiet lanes are: who waits for them, or gives up waiting, wants to know.
show_quiet_lanes() {
    local entry stage
    for entry in "${ALL_STAGES[@]}"; do
        stage=${entry%:*}
        [[ -f $RESULTS/$stage.log && ! -f $RESULTS/$stage.result ]] || continue
        printf '\n== beside this, after %d s: %s, its last lines\n' "$SECONDS" "$stage"
        tail -n 5 "$RESULTS/$stage.log" || true
    done
}

stop() {
    show_quiet_lanes
    # Whoever asks once more need not wait for what is cleaning up.
    trap - INT TERM HUP
    kill -INT -- "${lanes[@]}" 2>/dev/null || true
    wait
    exit 130
}
lanes=()
# Before the lanes begin: whoever interrupts at once leaves none of them behind.
trap stop INT TERM HUP
# Job control gives each lane a process group of its own, which can be stopped as a whole.
set -m
run_shown_lane </dev/null &
shown=$!
lanes+=("-$shown")
for lane in "${QUIET_LANES[@]}"; do
    run_quiet_lane "$lane" </dev/null &
    lanes+=("-$!")
done
running=("${lanes[@]#-}")
tail --pid=$$ -f "$FAILURES" &
failures=$!
lanes+=("-$failures")
set +m
wait "$shown" || true
show_quiet_lanes
wait "${running[@]}" || true
kill "$failures"

failed=()
for entry in "${ALL_STAGES[@]}"; do
    stage=${entry%:*}
    read -r status _ <<<"$(result_of "$stage")"
    if ((status)); then
        failed+=("$stage")
        if [[ -f $RESULTS/$stage.log ]]; then
            printf '\n== %s\n' "$stage"
            cat "$RESULTS/$stage.log"
        fi
    fi
done
show_table
if ((${#failed[@]})); then
    printf '\ntests failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
printf '\nall stages passed in %d s\n' "$SECONDS"
