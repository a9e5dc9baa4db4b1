#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run.sh PREFIX PROGRAM... [-- PROGRAM ARGUMENT...]...: runs Windows programs one after another under
# Wine, whose files are in the folder PREFIX, which is made where there is none.
set -eu
case $1 in
/*) prefix=$1 ;;
*) prefix=$PWD/$1 ;;
esac
shift
wine=/usr/lib/wine
export WINEPREFIX="$prefix" WINEDEBUG=-all
# None of what would ask to be installed.
export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="
trap '"$wine/wineserver64" -k >/dev/null 2>&1 </dev/null || true' EXIT
mkdir -p "$prefix"
# Its processes stay a while, and must not hold our output.
timeout 300 "$wine/wine64" wineboot >/dev/null 2>&1 </dev/null
status=0
run() {
    timeout 600 "$wine/wine64" "$@" </dev/null || {
        echo "# $1: status $?"
        status=1
    }
}
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    run "$1"
    shift
done
while [ $# -gt 1 ]; do
    shift
    program=$1 rest=''
    shift
    # Arguments have no spaces.
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        rest="$rest $1"
        shift
    done
    # shellcheck disable=SC2086
    run "$program" $rest
done
exit $status
