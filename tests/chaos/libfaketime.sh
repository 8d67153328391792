#!/bin/sh
# Is there a libfaketime for the faults of the clock? If not, install Debian's where that is allowed; without it they are not tried.
set -eu
for directory in /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib; do
    [ ! -e "$directory/faketime/libfaketimeMT.so.1" ] || exit 0
done
[ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null || exit 0
echo "installing libfaketime for the faults of the clock …"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
{ apt-get -qq update && apt-get -qq install -y --no-install-recommends libfaketime; } </dev/null >"$log" 2>&1 ||
    { echo "libfaketime could not be installed, see $log." >&2; exit 0; }
rm -f "$log"
