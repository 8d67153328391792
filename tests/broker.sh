#!/bin/sh
# Is there a RabbitMQ the tests can use? If not, install Debian's, or say in one line what to do.
set -eu
[ -z "${AMQP_URL:-}" ] || exit 0
if command -v docker >/dev/null && docker version >/dev/null 2>&1; then exit 0; fi
for directory in /usr/lib/rabbitmq/bin /opt/homebrew/sbin /usr/local/sbin; do
    [ ! -x "$directory/rabbitmq-server" ] || exit 0
done
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
    echo "installing rabbitmq-server for the tests …"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends rabbitmq-server; } </dev/null >"$log" 2>&1 ||
        { echo "rabbitmq-server could not be installed, see $log; else set AMQP_URL." >&2; exit 1; }
    rm -f "$log"
else
    echo "The tests need a RabbitMQ: set AMQP_URL, start a Docker engine, or install rabbitmq-server." >&2
    exit 1
fi
