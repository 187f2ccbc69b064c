#!/bin/sh
# Some tests need programs that come with no Python package. Installed from Debian where that is possible; elsewhere those
# tests are reported as not run, which CI takes for a failure.
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
command -v luac5.1 >/dev/null || missing="$missing lua5.1"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v npm >/dev/null || missing="$missing nodejs npm"
test -z "$missing" && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing:$missing. The tests of streams in a browser, of a clock that jumps, of names in Lua, on Redis, with a real model will not run"
    exit 0
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
# Debian's way to install a service without starting it: the tests start servers of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086
{ apt-get update && apt-get install --yes --no-install-recommends $missing; } >/dev/null 2>&1 \
    || echo "Could not be installed:$missing. The tests that need it will not run"
