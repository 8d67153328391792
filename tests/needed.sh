#!/bin/sh
# Is there what the tests need: a RabbitMQ, and a curl for what the documents call? If not, install Debian's, or say in one line what to do.
set -eu
has_rabbitmq() {
    [ -z "${AMQP_URL:-}" ] || return 0
    if command -v docker >/dev/null && docker version >/dev/null 2>&1; then return 0; fi
    for directory in /usr/lib/rabbitmq/bin /opt/homebrew/sbin /usr/local/sbin; do
        [ ! -x "$directory/rabbitmq-server" ] || return 0
    done
    return 1
}
missing=
command -v curl >/dev/null || missing="curl"
has_rabbitmq || missing="${missing:+$missing }rabbitmq-server"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
    echo "installing for the tests: $missing …"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1 ||
        { echo "$missing could not be installed, see $log." >&2; exit 1; }
    rm -f "$log"
else
    echo "Not found, and needed by the tests: $missing. In place of a RabbitMQ of its own, AMQP_URL or a Docker engine will do." >&2
    exit 1
fi
