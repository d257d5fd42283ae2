#!/usr/bin/env bash
# A first deployment on a real AWS account, from nothing to nothing: tests/aws/first-deploy.sh
# For whoever has an account: it costs about a dollar, takes an hour, deletes what it made, and leaves
# a log to send (first-deploy.log). It runs in the account and region of the AWS CLI. SIZE=medium takes
# another size, KEEP=1 leaves the deployment up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly SIZE=${SIZE:-small} LOAD_SECONDS=${LOAD_SECONDS:-300}
readonly LOG=$PWD/first-deploy.log
STACK=image-api-trial-$(date +%m%d%H%M)
readonly STACK
readonly SAM=.venvs/local/bin/sam
export SAM_CLI_TELEMETRY=0

exec > >(tee "$LOG") 2>&1

say() { printf '\n== %s  %s\n' "$(date +%T)" "$*"; }

output() {
    "$SAM" list stack-outputs --stack-name "$STACK" --output json |
        python3 -c 'import json, sys
print(next(o["OutputValue"] for o in json.load(sys.stdin) if o["OutputKey"] == sys.argv[1]))' "$1"
}

ask() { "$SAM" remote invoke OperateFunction --stack-name "$STACK" --event "$1"; }

say "preflight"
infra/tools/setup.sh local
parameters=$(.venvs/local/bin/python -m infra.tools.preflight --size "$SIZE" --stack-name "$STACK" |
    tee /dev/stderr | sed -n 's/.*--parameter-overrides //p')

finish() {
    local status=$?
    if [[ -z ${KEEP:-} ]]; then
        say "delete (what stays on purpose is listed in docs/aws.md, Taking it down)"
        for name in "$STACK-plain" "$STACK-customised" "$STACK"; do
            "$SAM" delete --stack-name "$name" --no-prompts || status=1
        done
    fi
    say "ended with $status; the log is $LOG"
    exit "$status"
}
trap finish EXIT

say "build and deploy $STACK: $parameters"
"$SAM" build
# shellcheck disable=SC2086 # they are words
"$SAM" deploy --stack-name "$STACK" --parameter-overrides $parameters
api=$(output ApiUrl)

say "walk through $api"
tests/walk.sh "$api"
ask '{"action": "status"}'

say "deploy once more: nothing is to be done"
# shellcheck disable=SC2086
"$SAM" deploy --stack-name "$STACK" --parameter-overrides $parameters

say "the gateway against what AWS documents of it"
gateways=()
for name in plain customised; do
    "$SAM" deploy --template "tests/conformance/project/$name.yaml" --stack-name "$STACK-$name" \
        --resolve-s3 --capabilities CAPABILITY_IAM --parameter-overrides ""
    url=$("$SAM" list stack-outputs --stack-name "$STACK-$name" --output json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["OutputValue"])')
    gateways+=(--gateway-url "$name=$url")
done
.venvs/local/bin/python -m pytest -p no:cacheprovider tests/conformance -k test_gateway \
    "${gateways[@]}" || say "the gateway differs: see above"

say "four walks side by side, for $LOAD_SECONDS seconds"
end=$((SECONDS + LOAD_SECONDS)) failed=0
walk_until_end() {
    while ((SECONDS < end)); do tests/walk.sh "$api" >/dev/null || return 1; done
}
pids=()
for _ in 1 2 3 4; do
    walk_until_end &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
say "walks that failed under load: $failed (10 functions at once are few: see docs/aws.md)"

say "what is left to do, and what was given up"
ask '{"action": "status"}'
ask '{"action": "dead-letters"}'
((failed == 0))
