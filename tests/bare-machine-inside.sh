#!/usr/bin/env bash
# The part of bare-machine.sh that runs inside: bare-machine-inside.sh ACCOUNT [yes, for make test]
set -euo pipefail
readonly ACCOUNT=$1 WITH_TESTS=${2:-}
# For what hangs: a busy machine is far from it.
readonly DEADLINE_SECONDS=1800
report=()

say() { printf '\n=== %s\n' "$*"; }

# Not behind `||`: that would let the commands of a step fail unseen.
timed() {
    step=$1
    local started=$SECONDS
    shift
    say "$step"
    "$@"
    report+=("$(printf '%5d s  %s' $((SECONDS - started)) "$step")")
}

report_failure() {
    local status=$?
    ((status == 0)) || say "FAILED: $step"
}
step=
trap report_failure EXIT

install_what_a_developer_has() {
    export DEBIAN_FRONTEND=noninteractive
    if [[ -e /bare-machine/apt.sources ]]; then
        rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
        # One-line or deb822 format; apt knows them by the name.
        if grep -q '^URIs:' /bare-machine/apt.sources; then
            cp /bare-machine/apt.sources /etc/apt/sources.list.d/given.sources
        else
            cp /bare-machine/apt.sources /etc/apt/sources.list.d/given.list
        fi
    fi
    apt-get update -qq
    # curl is the walk's; sudo is part of the account's description.
    local packages=(make git curl ca-certificates)
    [[ $ACCOUNT == root ]] || packages+=(sudo)
    apt-get install -qq --yes --no-install-recommends "${packages[@]}" >/dev/null
    update-ca-certificates >/dev/null 2>&1
    if [[ $ACCOUNT != root ]]; then
        useradd --create-home --shell /bin/bash "$ACCOUNT"
        echo "$ACCOUNT ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$ACCOUNT"
    fi
}

start() {
    : >"$log"
    # A group of its own, which gets the Ctrl-C of a terminal as a whole.
    set -m
    make run >"$log" 2>&1 &
    running=$!
    set +m
    local deadline=$((SECONDS + DEADLINE_SECONDS))
    until grep -q '^API ready at http://localhost:8000' "$log"; do
        if ! kill -0 "$running" 2>/dev/null || ((SECONDS > deadline)); then
            cat "$log"
            return 1
        fi
        sleep 0.2
    done
}

stop() {
    kill -INT -- "-$running"
    local deadline=$((SECONDS + DEADLINE_SECONDS))
    while kill -0 "$running" 2>/dev/null; do
        ((SECONDS < deadline)) || { echo "it is still running $DEADLINE_SECONDS s after Ctrl-C"; return 1; }
        sleep 0.2
    done
    # What a stopped program leaves behind would keep the next one from starting.
    ! ps_of_project || { echo "it left these processes behind"; return 1; }
}

# Whether any process still runs from the clone; names them.
ps_of_project() {
    local found=1 process
    for process in /proc/[0-9]*; do
        if [[ $(readlink "$process/exe" 2>/dev/null) == "$PWD"/* ||
            $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) == *"$PWD/.local/"* ]]; then
            echo "${process#/proc/}: $(tr '\0' ' ' <"$process/cmdline")"
            found=0
        fi
    done
    return $found
}

# An image of yesterday: uploaded before a restart, looked at after it.
readonly ADA='{"username": "ada", "password": "analytical!engine"}'
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
sign_in() { curl -sS --fail-with-body "localhost:8000/auth/$1" -H 'Content-Type: application/json' -d "$ADA" | field access_token; }

upload_one() {
    local token
    token=$(sign_in register)
    image=$(curl -sS --fail-with-body localhost:8000/image/upload_image -H "Authorization: Bearer $token" \
        -F image=@tests/photos/coffee.png | field id)
    local deadline=$((SECONDS + DEADLINE_SECONDS))
    until curl -sS "localhost:8000/image/$image" -H "Authorization: Bearer $token" | grep -q '"status":"ready"'; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
    download "$token" /tmp/yesterday.png
}

download() {
    local url
    url=$(curl -sS --fail-with-body "localhost:8000/image/$image" -H "Authorization: Bearer $1" | field url)
    curl -sS --fail-with-body -o "$2" "$url"
}

find_it_again() {
    download "$(sign_in login)" /tmp/today.png
    cmp /tmp/yesterday.png /tmp/today.png
}

if [[ $(id -u) == 0 && -z ${AS_ACCOUNT:-} ]]; then
    timed "apt-get install make, git and curl" install_what_a_developer_has
    printf '%s\n' "${report[@]}"
    cd /
    export AS_ACCOUNT=yes HOME
    HOME=$(getent passwd "$ACCOUNT" | cut -d: -f6)
    exec runuser -u "$ACCOUNT" -- bash "$0" "$@"
fi

cd
timed "git clone" git clone --quiet -c advice.detachedHead=false /bare-machine/repository.bundle project
cd project
log=/tmp/make-run.log
timed "make run, the first time, until the API is ready" start
sed -n '/set-up/p;/ready at/,/started in/p' "$log"
timed "the README's walk" tests/walk.sh
timed "an image is uploaded" upload_one
timed "Ctrl-C" stop
timed "make run, the second time, until the API is ready" start
timed "yesterday's image is there" find_it_again
timed "the README's walk, once more" tests/walk.sh
timed "Ctrl-C" stop
if [[ -n $WITH_TESTS ]]; then
    timed "make test" make test
fi
step="the clone is still clean"
[[ -z $(git status --porcelain) ]] || { git status; exit 1; }

say "passed as $(id -un) on $(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' /etc/os-release)"
printf '%s\n' "${report[@]}"
