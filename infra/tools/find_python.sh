#!/usr/bin/env bash
# Prints the Python that runs everything here, and what of its own it lacks:
#   infra/tools/find_python.sh
#   /usr/bin/python3.13 3.13.5 ensurepip
# Prints nothing where there is none. PYTHON names one; else `python3` comes first, whatever this
# machine means by it. Debian packages parts of the standard library apart: a Python of the system
# that lacks some can be completed, so it is taken where no other is whole.
set -euo pipefail

readonly OLDEST=11 NEWEST=13
readonly NAMES=(python3 python python3.{13..11} /usr/bin/python3 /usr/bin/python3.{13..11})

# Where the candidate really is, behind a version manager's slow stand-in too; its version; what it
# lacks. Fails for a Python that is too old or too new.
describe() {
    "$1" -c '
import importlib, sys
oldest, newest = map(int, sys.argv[1:])
sys.version_info[0] == 3 and oldest <= sys.version_info[1] <= newest or sys.exit(1)
lacking = []
for name in ("ctypes", "sqlite3", "ssl", "venv", "ensurepip"):
    try:
        importlib.import_module(name)
    except ImportError:
        lacking.append(name)
print(sys.executable, "%d.%d.%d" % sys.version_info[:3], *lacking)' "$OLDEST" "$NEWEST" 2>/dev/null
}

if [[ -n ${PYTHON:-} ]]; then
    describe "$PYTHON" || {
        echo "PYTHON=$PYTHON does not run as Python 3.$OLDEST to 3.$NEWEST." >&2
        exit 1
    }
    exit
fi
incomplete=
for name in "${NAMES[@]}"; do
    found=$(describe "$name") || continue
    read -r path _ lacking <<<"$found"
    if [[ -z $lacking ]]; then
        echo "$found"
        exit
    fi
    [[ $path != /usr/bin/* || -n $incomplete ]] || incomplete=$found
done
[[ -z $incomplete ]] || echo "$incomplete"
