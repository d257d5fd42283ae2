#!/usr/bin/env bash
# Walks through a running API with the very commands of README.md: tests/walk.sh [URL of the API]
# The block is taken from the README, under a user name of its own, and walked twice, as by somebody
# who comes back. Every request must succeed, and what the walk leaves behind is looked at afterwards.
set -euo pipefail

readme=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/README.md
API=${1:-http://localhost:8000}
API=${API%/}
readonly DEADLINE_SECONDS=${WALK_DEADLINE_SECONDS:-1800}

if [[ ${WALK_HAS_DEADLINE:-} != yes ]]; then
    exec env WALK_HAS_DEADLINE=yes timeout --foreground "$DEADLINE_SECONDS" bash "${BASH_SOURCE[0]}" "$API"
fi

block=$(awk '/^## A walk through the API/ {here = 1} here && /^```$/ {exit} inside {print}
    here && /^```sh$/ {inside = 1}' "$readme")
[[ $block == *'API=http://localhost:8000'* && $block == *'"username": "ada"'* ]] ||
    { echo "README.md has no walk that this script knows" >&2; exit 1; }
block=${block//'API=http://localhost:8000'/"API=$API"}
block=${block//'/tmp/rocket.webp'/rocket.webp}
block=${block//'"username": "ada"'/"\"username\": \"walker-$$-$RANDOM\""}

# What the README leaves out so that it stays readable: a request that fails ends the walk, unless
# the walk itself looks at its failing.
curl() {
    [[ " $* " != *" --fail "* ]] || { command curl --max-time 600 "$@"; return; }
    # An emulated gateway at a path of its own tells no function of it, so that links lead past it.
    [[ $API != */_aws/* ]] || set -- "${@/#http*:\/\/*\/image\//$API/image/}"
    command curl --fail-with-body --max-time 600 "$@" || { echo "failed: curl ${*: -1}" >&2; return 1; }
}
expect_status() {
    local wanted=$1 got
    shift
    got=$(command curl -s -o /dev/null -w '%{http_code}' --max-time 600 "$@")
    [[ $got == "$wanted" ]] || { echo "expected $wanted, got $got: ${*: -1}" >&2; exit 1; }
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$(dirname "$readme")/tests" "$folder/tests"
cd "$folder"
for _ in first second; do
    eval "$block"
    [[ -n $TOKEN && $ID =~ ^[0-9]+$ ]] || { echo "no token or no image" >&2; exit 1; }
    [[ $(value status <<<"$IMAGE") == ready ]] || { echo "the image is not ready" >&2; exit 1; }
    [[ $(value title <<<"$IMAGE") == Lift-off ]] || { echo "the change was not made" >&2; exit 1; }
    [[ $(head -c 12 rocket.webp | tail -c 4) == WEBP ]] || { echo "the rendition is not a WebP" >&2; exit 1; }
    rm rocket.webp
done
[[ $(ls) == tests ]] || { echo "the walk left files behind: $(ls)" >&2; exit 1; }
expect_status 404 "$API/image/$ID" -H "Authorization: Bearer $TOKEN"
expect_status 401 "$API/image/get_all_images"
expect_status 200 "$API/docs"
# A part that stands still for a moment is down for that moment.
looks=1
until (expect_status 200 "$API/health"); do
    ((looks++ < 60)) || exit 1
    sleep 1
done
echo "the walk passed: $API"
