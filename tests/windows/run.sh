#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run.sh PREFIX PROGRAM... [-- PROGRAM ARGUMENT...]...: runs Windows programs one after another under
# Wine, whose files are in the folder PREFIX, which is made where there is none.
set -eu
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=wine.sh
. "$here/wine.sh"
trap wine_end EXIT
wine_begin "$1"
shift
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
