#!/usr/bin/env bash
# Tries the API under `sam local` for real: every function on its sample event, then the README's
# walk through `sam local start-api`, with RabbitMQ triggering the consumer in
# `sam local start-lambda` through our event source mapping.
#
# Needs a Docker engine with docker compose. Works in containers, a network and volumes of its own,
# on ports that can be chosen, and removes all of them in the end. Where no image can be pulled:
# SAM_OPTIONS=--skip-pull-image tests/sam-local.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# For what hangs: a busy machine is far from it.
readonly DEADLINE_SECONDS=1800
readonly PROJECT=${SAM_LOCAL_PROJECT:-image-api-sam-local}
readonly API_PORT=${SAM_LOCAL_API_PORT:-23000} LAMBDA_PORT=${SAM_LOCAL_LAMBDA_PORT:-23001}
export API_NETWORK=$PROJECT
export POSTGRES_PORT=${SAM_LOCAL_POSTGRES_PORT:-23432} RABBITMQ_PORT=${SAM_LOCAL_RABBITMQ_PORT:-23672}
export RABBITMQ_MANAGEMENT_PORT=${SAM_LOCAL_MANAGEMENT_PORT:-23673}
export LOCALSTACK_PORT=${SAM_LOCAL_LOCALSTACK_PORT:-23566}
# What LocalStack takes signatures of. With made-up keys, sam asks AWS once who they belong to.
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_MAX_ATTEMPTS=1
unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE
export SAM_CLI_TELEMETRY=0

say() { printf 'sam local [%3d s] %s\n' "$SECONDS" "$*"; }

fail() {
    printf '\nsam local: %s\n' "$1" >&2
    shift
    if (($#)); then printf '  %s\n' "$@" >&2; fi
    exit 1
}

command -v docker >/dev/null || fail "there is no docker here." \
    "This check runs in containers; make run and make test need none."
docker info >/dev/null 2>&1 || fail "no Docker engine answers." \
    "Start one (or say where it is: DOCKER_HOST), then repeat."
docker compose version >/dev/null 2>&1 || fail "docker has no compose command (version 2)."
sam=$(command -v sam || true)
if [[ -z $sam && -x .venvs/local/bin/sam ]]; then sam=.venvs/local/bin/sam; fi
[[ -n $sam && -x .venvs/dev/bin/python ]] ||
    fail "this clone is not set up." "make setup brings what is missing, sam too."

folder=$(mktemp -d)
declare -A started=()

tidy_up() {
    local result=$? name
    trap - EXIT
    for name in "${!started[@]}"; do kill "${started[$name]}" 2>/dev/null || true; done
    for name in "${!started[@]}"; do
        # sam removes its containers before it ends.
        timeout "$DEADLINE_SECONDS" tail --pid="${started[$name]}" -f /dev/null || kill -KILL "${started[$name]}" || true
        if ((result)); then
            printf '\n--- the end of what %s said\n' "$name" >&2
            tail -n 40 "$folder/$name.log" >&2
        fi
    done
    # sam may leave containers behind, and they would keep the network in use.
    docker ps --all --quiet --filter "network=$API_NETWORK" |
        xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
    docker compose --project-name "$PROJECT" down --volumes --timeout 20 >/dev/null 2>&1 || true
    rm -rf "$folder"
    exit "$result"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

start() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    started[$name]=$!
}

until_true() {
    local what=$1 deadline=$((SECONDS + DEADLINE_SECONDS)) name
    shift
    until "$@" >/dev/null 2>&1; do
        for name in "${!started[@]}"; do
            kill -0 "${started[$name]}" 2>/dev/null || fail "$name has ended before: $what"
        done
        ((SECONDS < deadline)) || fail "after $DEADLINE_SECONDS s still not: $what"
        sleep 0.5
    done
}

# A value of a JSON text: value '["body"]["id"]'; the body of an answer is JSON in JSON.
value() {
    python3 -c '
import json, sys
answer = json.load(sys.stdin)
if isinstance(answer, dict) and isinstance(answer.get("body"), str):
    answer["body"] = json.loads(answer["body"])
print(eval("answer" + sys.argv[1]))' "$1"
}

# Runs a function on its sample event; what it answered is kept: invoked upload
invoke() {
    local function=$1 logical_id
    logical_id=$(tr '_' '\n' <<<"$function" | sed 's/^./\U&/' | tr -d '\n')Function
    "$sam" local invoke "$logical_id" --event "$events/$function.json" "${options[@]}" \
        >"$folder/$function.json" 2>"$folder/$function.log" ||
        { tail -n 20 "$folder/$function.log" >&2; fail "$logical_id could not be invoked"; }
}

expect() {
    local function=$1 path=$2 wanted=$3 got
    invoke "$function"
    got=$(value "$path" <"$folder/$function.json") || got="no $path"
    [[ $got == "$wanted" ]] ||
        fail "$function: $path is $got, not $wanted" "$(head -c 2000 "$folder/$function.json")"
    say "$function: ${path//[\[\]\"]/ } = $got"
}

say "starting Postgres, RabbitMQ and LocalStack"
docker compose --project-name "$PROJECT" up --detach --wait db rabbitmq localstack \
    >"$folder/compose.log" 2>&1 || { cat "$folder/compose.log" >&2; fail "the services did not start"; }

say "building (sam build)"
"$sam" build >"$folder/build.log" 2>&1 || { tail -n 40 "$folder/build.log" >&2; fail "sam build failed"; }

# What is for everybody, but for the ports at which this machine reaches the storage, and the functions
# each other.
COMPOSE_PROJECT_NAME=$PROJECT infra/tools/sam_local_env.sh "$folder/env.json"
sed -i "s/localhost:4566/localhost:$LOCALSTACK_PORT/; s/internal:3001/internal:$LAMBDA_PORT/" "$folder/env.json"
rabbitmq_password=$(docker compose --project-name "$PROJECT" exec -T rabbitmq cat /passwords/rabbitmq)
read -ra extra <<<"${SAM_OPTIONS:-}"
options=(--env-vars "$folder/env.json" --docker-network "$PROJECT" "${extra[@]}")

say "every function on its sample event (sam local invoke)"
events=events
expect migrate '["Revision"][:2]' 00
expect health '["body"]["status"]' ok
expect docs '["body"]["openapi"]' 3.1.0
expect register '["body"]["token_type"]' bearer
expect login '["body"]["token_type"]' bearer
expect upload '["statusCode"]' 401
token=$(value '["body"]["access_token"]' <"$folder/login.json")
events=$folder/events
.venvs/dev/bin/python -m infra.tools.sample_events --token "$token" --into "$events" >/dev/null
expect upload '["body"]["id"]' 1
# The consumer invokes the renderer there.
start start-lambda "$sam" local start-lambda --port "$LAMBDA_PORT" "${options[@]}"
until_true "start-lambda listens" bash -c ": </dev/tcp/127.0.0.1/$LAMBDA_PORT"
expect consumer '["applied"]' 1
expect get '["body"]["status"]' ready
thumbnail=$(value '["body"]["thumbnail_url"]' <"$folder/get.json")
curl -fsS -o "$folder/thumbnail.webp" "$thumbnail" || fail "the thumbnail's URL is not good: $thumbnail"
expect list '["body"][0]["id"]' 1
expect update '["body"]["id"]' 1
expect direct_upload '["statusCode"]' 200
expect relay '["published"]' 0
expect janitor '["finished"]' True

say "starting sam local start-api and the event source mapping"
api=http://127.0.0.1:$API_PORT
start start-api "$sam" local start-api --port "$API_PORT" "${options[@]}"
RABBITMQ_URL="amqp://images:$rabbitmq_password@127.0.0.1:$RABBITMQ_PORT/%2F" \
    start poll .venvs/local/bin/python -m infra.local poll --lambda-url "http://127.0.0.1:$LAMBDA_PORT"
until_true "start-api serves" curl -sS --max-time 5 "$api/openapi.json"
say "start-api serves"

# What earlier invocations left is there, and its update, which waits in the queue, is applied now.
shown() { curl -fsS --max-time 60 -H "Authorization: Bearer $token" "$api/image/1"; }
is_updated() { [[ $(shown | value '["status"] + " " + answer["resolution"]') == "ready 320x200" ]]; }
until_true "the update of image 1 is applied" is_updated
say "image 1 is there, and its update was applied: RabbitMQ triggered the consumer"

tests/walk.sh "$api" >"$folder/walk.log" 2>&1 ||
    { tail -n 20 "$folder/walk.log" >&2; fail "the README's walk failed"; }
say "the README's walk passed"

status=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 60 -X PATCH "$api/auth/login")
[[ $status == 405 ]] || fail "a wrong method is answered with $status, not 405"

events=$folder/events
expect delete '["body"]["id"]' 1
removed() { [[ $(docker compose --project-name "$PROJECT" exec -T db psql -U images -d images -Atc \
    'SELECT count(*) FROM images') == 0 ]]; }
until_true "the removal of image 1 is applied" removed
say "image 1 was removed"
say "all of it passed"
