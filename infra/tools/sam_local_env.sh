#!/usr/bin/env bash
# Writes the environment that sam local hands to the functions: infra/sam-local.json, with the passwords
# of docker-compose.yml's running services.
#
#   infra/tools/sam_local_env.sh [FILE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly FILE=${1:-.local/sam-local.json}

# shellcheck source=/dev/null
. infra/compose.env
umask 077
mkdir -p "$(dirname "$FILE")"
for name in POSTGRES_PASSWORD POSTGRES_API_PASSWORD RABBITMQ_PASSWORD RABBITMQ_API_PASSWORD; do
    [[ -n ${!name} ]] || { echo "First run: docker compose up --detach --wait db rabbitmq localstack" >&2; exit 1; }
done
sed "s/:POSTGRES_PASSWORD@/:$POSTGRES_PASSWORD@/
s/:POSTGRES_API_PASSWORD@/:$POSTGRES_API_PASSWORD@/
s/:RABBITMQ_PASSWORD@/:$RABBITMQ_PASSWORD@/
s/:RABBITMQ_API_PASSWORD@/:$RABBITMQ_API_PASSWORD@/" infra/sam-local.json >"$FILE"
