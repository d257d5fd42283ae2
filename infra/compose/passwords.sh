#!/bin/sh
# The passwords of docker-compose.yml's services, in a volume that they share: those that .env sets, else
# made once. They are only as good as who may read the volume: the services, and whoever may use Docker.
set -eu
cd /passwords

# keep NAME CHOSEN: as it is asked for, or as it was, or anew.
keep() {
    if [ -n "$2" ]; then
        password=$2
    elif [ -s "$1" ]; then
        return
    else
        password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    fi
    # Whole, or not at all.
    printf '%s' "$password" >"$1.new"
    mv "$1.new" "$1"
}

umask 022
keep postgres "${POSTGRES_PASSWORD:-}"
keep postgres-api "${POSTGRES_API_PASSWORD:-}"
keep rabbitmq "${RABBITMQ_PASSWORD:-}"
keep rabbitmq-api "${RABBITMQ_API_PASSWORD:-}"
