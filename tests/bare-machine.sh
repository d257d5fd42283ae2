#!/usr/bin/env bash
# Proves the README's first promise: on a plain Debian or Ubuntu with make and git, a clean clone
# runs with `make run`, passes the README's walk, and passes `make test`.
#
#   tests/bare-machine.sh [--user] [--no-tests]
#
#   --user      as an ordinary user who has sudo, instead of as root
#   --no-tests  `make run` and the walk alone
#
# The machine is a container, so this needs a Docker engine. What it clones is the commit that HEAD
# names. Behind a mirror or a proxy: pip's own settings, npm's from the environment, proxies and
# certificates of this machine apply inside, too. Further:
#
#   BARE_MACHINE_IMAGE        another image, such as debian:bookworm-slim or ubuntu:24.04 (debian:trixie-slim)
#   BARE_MACHINE_NETWORK      another Docker network; `host` where a proxy listens on this machine
#   BARE_MACHINE_APT_SOURCES  a file of apt sources to use instead of the image's own
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

account=root
tests=yes
for argument; do
    case $argument in
        --user) account=developer ;;
        --no-tests) tests= ;;
        *) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
done

readonly IMAGE=${BARE_MACHINE_IMAGE:-debian:trixie-slim}
readonly NAME=image-api-bare-machine-$$

{ command -v docker && docker version; } >/dev/null 2>&1 ||
    { echo "There is no Docker engine here, and this needs one." >&2; exit 3; }
[[ -z $(git status --porcelain) ]] ||
    echo "Changes that are not committed are left out: the clone is of $(git rev-parse --short HEAD)."

folder=$(mktemp -d)
remove_own_machine() {
    docker rm --force --volumes "$NAME" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap remove_own_machine EXIT
git bundle create --quiet "$folder/repository.bundle" HEAD
# The account inside may be another one.
chmod -R a+rX "$folder"

options=()
declare -A mounted=()
mount() {
    [[ -e $1 && -z ${mounted[$1]:-} ]] || return 0
    mounted[$1]=yes
    options+=(--volume "$1:${2:-$1}:ro")
}

# What pip and npm are told here (an index, a proxy, certificates), and the local files that this names.
for variable in $(compgen -e); do
    case ${variable^^} in
        PIP_CONFIG_FILE) mount "${!variable}" ;;&
        PIP_* | NPM_CONFIG_* | HTTP_PROXY | HTTPS_PROXY | NO_PROXY | ALL_PROXY | \
            SSL_CERT_FILE | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | GIT_SSL_CAINFO | NODE_EXTRA_CA_CERTS)
            options+=(--env "$variable") ;;
    esac
done
mount /etc/pip.conf
mount "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" /etc/xdg/pip/pip.conf
mount /etc/xdg/pip
while IFS= read -r path; do
    case $path in
        /etc/ssl/* | /etc/pip.conf | /etc/xdg/pip/*) ;;
        # The pages of an index name files that lie beside them.
        file://*) path=${path#file://}; [[ ${path%/*} == "" ]] || path=${path%/*}; mount "$path" ;;
        *) mount "$path" ;;
    esac
done < <({ python3 -m pip config list 2>/dev/null || true; } |
    grep -oE "(file://)?/[^ '\"]+" | grep -vE '^//' | sort -u)

# Certificates that this machine trusts besides the usual ones.
mount /usr/local/share/ca-certificates

# Proxies of apt, and its sources where they are asked for.
if command -v apt-config >/dev/null; then
    apt-config dump | grep -E '^Acquire::(http|https)::Proxy ' >"$folder/apt-proxy.conf" || true
    mount "$folder/apt-proxy.conf" /etc/apt/apt.conf.d/99-proxy-of-this-machine
fi
[[ -z ${BARE_MACHINE_APT_SOURCES:-} ]] ||
    mount "$(realpath "$BARE_MACHINE_APT_SOURCES")" /bare-machine/apt.sources

mount "$folder/repository.bundle" /bare-machine/repository.bundle
mount "$PWD/tests/bare-machine-inside.sh" /bare-machine/inside.sh

echo "A machine from $IMAGE, as $account:"
# A process 1 that collects zombies, as every machine has; Docker alone would have none. Root of a
# machine sees what every process listens on, and the tests look; a container's needs a right for it.
docker run --init --cap-add SYS_PTRACE --name "$NAME" --network "${BARE_MACHINE_NETWORK:-bridge}" "${options[@]}" \
    "$IMAGE" bash /bare-machine/inside.sh "$account" "$tests" &
wait $!
