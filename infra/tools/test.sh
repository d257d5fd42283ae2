#!/usr/bin/env bash
# The stages of `make test`. After lint, two lanes go side by side: most tests wait for processes,
# and one after the other they take twice as long. The second lane's output follows at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly FIRST_LANE=(types lint-template unit template integration e2e security)
readonly SECOND_LANE=(local-cloud conformance faults deployment)
readonly SECOND_LOG=.cache/test-second-lane.log

run_stages() {
    local stage
    for stage in "$@"; do
        printf '\n== %s\n' "$stage"
        make --no-print-directory "$stage"
    done
}

run_stages lint
mkdir -p .cache
printf '\n== %s: side by side with the rest, their output follows below\n' "${SECOND_LANE[*]}"
# Job control gives the lane its own process group, which can be stopped as a whole.
set -m
run_stages "${SECOND_LANE[@]}" >"$SECOND_LOG" 2>&1 &
second=$!
set +m
trap 'kill -INT -- "-$second" 2>/dev/null || true' EXIT

run_stages "${FIRST_LANE[@]}"

printf '\n== waiting for %s\n' "${SECOND_LANE[*]}"
if wait "$second"; then result=0; else result=$?; fi
trap - EXIT
cat "$SECOND_LOG"
if ((result)); then
    printf '\ntests failed: %s\n' "${SECOND_LANE[*]}" >&2
    exit 1
fi
printf '\nall stages passed in %d s\n' "$SECONDS"
