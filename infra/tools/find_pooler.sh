#!/usr/bin/env bash
# Prints the path of a PgBouncer that keeps prepared statements in transaction mode (1.21 or later):
# what POOLER names, or the system's. Fails in words where there is none.
set -euo pipefail

readonly LEAST=1.21
pooler=${POOLER:-$(command -v pgbouncer || echo /usr/sbin/pgbouncer)}
if [[ ! -x $pooler ]]; then
    echo "pooler: not tested: no PgBouncer here; Debian 13 has it (apt-get install pgbouncer)" >&2
    exit 1
fi
version=$("$pooler" --version | sed -nE 's/^PgBouncer ([0-9.]+).*/\1/p')
if [[ $(printf '%s\n' "$LEAST" "$version" | sort -V | head -n 1) != "$LEAST" ]]; then
    echo "pooler: not tested: PgBouncer $version is too old; $LEAST or later is needed (Debian 13)" >&2
    exit 1
fi
echo "$pooler"
