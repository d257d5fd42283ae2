#!/usr/bin/env bash
# Proves docker-compose.yml: the whole system comes up healthy, passes the README's walk, takes a
# direct upload, and finds yesterday's images after a restart and after LocalStack was killed.
#
#   tests/compose.sh
#
# Runs as a project of its own, on ports of its own, and removes that project alone.
# shellcheck disable=SC2016  # what wait_until and the containers' shells expand, this one must not
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

{ command -v docker && docker version; } >/dev/null 2>&1 ||
    { echo "There is no Docker engine here, and this needs one." >&2; exit 3; }
docker compose version >/dev/null 2>&1 ||
    { echo "This Docker has no \`docker compose\` (version 2), and this needs it." >&2; exit 3; }

readonly PROJECT=image-api-test-$$
# For what hangs: a busy machine is far from it.
readonly DEADLINE_SECONDS=1800

# Ports that nobody listens on, all different.
read -r POSTGRES_PORT RABBITMQ_PORT RABBITMQ_MANAGEMENT_PORT LOCALSTACK_PORT API_PORT < <(python3 -c '
import socket
held = [socket.socket() for _ in range(5)]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
export POSTGRES_PORT RABBITMQ_PORT RABBITMQ_MANAGEMENT_PORT LOCALSTACK_PORT API_PORT API_NETWORK=$PROJECT
readonly API=http://localhost:$API_PORT
# What .env says on this machine is about another project.
compose() { docker compose --env-file /dev/null --project-name "$PROJECT" "$@"; }
# Passwords are made.
unset POSTGRES_PASSWORD POSTGRES_API_PASSWORD RABBITMQ_PASSWORD RABBITMQ_API_PASSWORD
passwords() { compose exec -T db sh -c 'cd /passwords && head -c 99 *'; }

folder=$(mktemp -d)
clean_up() {
    local status=$?
    ((status == 0)) || compose logs --tail 40 2>&1 || true
    compose down --volumes --remove-orphans --timeout 20 >"$folder/down.log" 2>&1 || cat "$folder/down.log"
    rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT

say() { printf '\n=== [%3d s] %s\n' "$SECONDS" "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

wait_until() {
    local what=$1 deadline=$((SECONDS + DEADLINE_SECONDS))
    shift
    until "$@" >"$folder/last" 2>&1; do
        ((SECONDS < deadline)) || { cat "$folder/last"; fail "not within $DEADLINE_SECONDS s: $what"; }
        sleep 0.5
    done
}

healthy() { curl --silent --fail --max-time 10 "$API/health"; }
all_healthy() { [[ $(compose ps --format '{{.Health}}' | sort | uniq -c) =~ ^\ *4\ healthy$ ]]; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
request() { curl --silent --show-error --fail-with-body --max-time 60 -H "Authorization: Bearer $token" "$@"; }
is_ready() { request "$API/image/$1" | grep '"status":"ready"'; }
download() { request "$API/image/$1" | field url | xargs curl --silent --show-error --fail-with-body -o "$2"; }

say "up"
compose up --build --detach --quiet-pull >"$folder/up.log" 2>&1 || { cat "$folder/up.log"; exit 1; }
wait_until "the API is healthy" healthy
say "the walk"
tests/walk.sh "$API"

say "who the API is, and what it may do"
[[ $(compose exec -T api id -u) != 0 ]] || fail "the API runs as root"
! compose exec -T api sh -c 'echo > /app/template.yaml' 2>/dev/null || fail "the API may change its code"
compose exec -T api grep -q '^CapEff:\s*0*$' /proc/1/status || fail "the API has capabilities"
# The role that requests use reads and writes rows, and cannot change the schema.
owner=$(compose exec -T db psql -U images -Atc "SELECT tableowner FROM pg_tables WHERE tablename = 'images'")
[[ $owner == images ]] || fail "the table belongs to $owner"
used=$(compose exec -T db psql -U images -Atc "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'image-api'")
[[ $used == images_api ]] || fail "requests use the role $used"
[[ $(compose exec -T db psql -U images -Atc "SELECT has_schema_privilege('images_api', 'public', 'CREATE')") == f ]] ||
    fail "the API's role may change the schema"

say "passwords of this machine's own"
made=$(passwords)
[[ $(grep -cE '^[0-9a-f]{48}$' <<<"$made") == 4 ]] || fail "these are no passwords: $made"
compose config | grep -q -- "$(compose exec -T db cat /passwords/postgres)" && fail "a password is in the configuration"

say "RabbitMQ's management interface"
curl --silent --fail -u "images:$(compose exec -T rabbitmq cat /passwords/rabbitmq)" "http://localhost:$RABBITMQ_MANAGEMENT_PORT/api/queues/%2F/image_events" |
    grep -q '"type":"quorum"' || fail "the management interface does not show the queue"

say "an upload, and a direct upload by a form"
token=$(curl -s "$API/auth/register" -H 'Content-Type: application/json' \
    -d '{"username": "grace", "password": "compiler!"}' | field access_token)
small=$(request "$API/image/upload_image" -F image=@tests/photos/chelsea.png | field id)
request -X POST "$API/image/direct_upload" -H 'Content-Type: application/json' -d '{}' >"$folder/form.json"
python3 - "$folder/form.json" tests/photos/hubble_deep_field.jpg <<'PYTHON' | xargs -d '\n' curl --silent --show-error --fail-with-body
import json, sys
form = json.load(open(sys.argv[1]))
for name, value in form["fields"].items():
    print("-F"); print(f"{name}={value}")
print("-F"); print(f"file=@{sys.argv[2]}"); print(form["url"])
PYTHON
# The keys of all objects, as LocalStack lists them, and as its volume keeps them.
objects() { compose exec -T localstack awslocal s3 ls --recursive s3://images | awk '{print $4}' | sort; }
kept() {
    compose exec -T localstack sh -c 'head -qn1 /var/lib/localstack/kept-objects/images/*' |
        python3 -c 'import json, sys; print(*sorted(json.loads(line)["Key"] for line in sys.stdin), sep="\n")'
}
kept | grep -q '^incoming/' || fail "a form's file is not kept"
large=$(request -X POST "$API/image/direct_upload/$(field upload_id <"$folder/form.json")" \
    -H 'Content-Type: application/json' -d '{"title": "hubble.jpg"}' | field id)
wait_until "the upload is processed" is_ready "$small"
wait_until "the direct upload is processed" is_ready "$large"
download "$small" "$folder/small"
download "$large" "$folder/large"
deleted=$(request "$API/image/upload_image" -F image=@tests/photos/coffee.png | field id)
wait_until "another upload is processed" is_ready "$deleted"
request -X DELETE "$API/image/delete/$deleted"
has_files_of_two_images() { [[ $(objects | cut -d/ -f2 | uniq | wc -l) == 2 ]]; }
wait_until "its files are gone" has_files_of_two_images
objects >"$folder/objects"
kept | diff "$folder/objects" - || fail "the volume has other objects than LocalStack"

# A presigned URL that was changed must fail, as on AWS.
url=$(request "$API/image/$small" | field url)
[[ $(curl -s -o /dev/null -w '%{http_code}' "${url%?}0") == 403 || $(curl -s -o /dev/null -w '%{http_code}' "${url%?}1") == 403 ]] ||
    fail "the storage takes a forged URL"

# A browser on a page of the API's may send the form of a direct upload.
may_send_from_a_page() {
    curl --silent --show-error --fail -o /dev/null -D - -X OPTIONS "http://localhost:$LOCALSTACK_PORT/images" \
        -H "Origin: $API" -H 'Access-Control-Request-Method: POST' | grep -qi '^access-control-allow-origin: '
}
may_send_from_a_page || fail "the bucket has no CORS rule"

find_everything_again() {
    may_send_from_a_page || fail "the bucket lost its CORS rule"
    download "$small" "$folder/again"
    cmp "$folder/small" "$folder/again"
    download "$large" "$folder/again"
    cmp "$folder/large" "$folder/again"
    objects | diff "$folder/objects" -
    # Rendered anew from its original, which must be there, too.
    request -X PUT "$API/image/update/$small" -H 'Content-Type: application/json' -d "{\"title\": \"$1\"}"
    echo
    wait_until "a change is processed" is_ready "$small"
}

say "down, which must not take long"
started=$SECONDS
compose down >"$folder/down.log" 2>&1 || { cat "$folder/down.log"; exit 1; }
took=$((SECONDS - started))
((took <= 30)) || fail "it took $took s"
echo "it took $took s"

say "up again: yesterday's images"
compose up --detach >"$folder/up.log" 2>&1 || { cat "$folder/up.log"; exit 1; }
wait_until "the API is healthy" healthy
[[ $(passwords) == "$made" ]] || fail "there are other passwords than yesterday"
find_everything_again "after a day"
! compose logs db | grep 'not properly shut down' || fail "Postgres had been cut off"

say "LocalStack killed: it starts again by itself, and has everything"
# The container's own shell expands this.
# shellcheck disable=SC2016
compose exec -T localstack sh -c 'kill -KILL $(cat /proc/1/task/1/children)' || true
is_gone() { ! curl --silent --max-time 5 "http://localhost:$LOCALSTACK_PORT/_localstack/health"; }
wait_until "LocalStack is gone" is_gone
wait_until "the API is healthy" healthy
find_everything_again "after a crash"

say "every service is healthy"
wait_until "every service is healthy" all_healthy
compose ps --format 'table {{.Service}}\t{{.Status}}'

say "the walk, once more"
tests/walk.sh "$API" >"$folder/walk" || { cat "$folder/walk"; exit 1; }
tail -n 1 "$folder/walk"
say "passed"
