#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# exports.sh SOURCE LIBRARY: the headers, the version script and the library name the same functions.
set -eu
source=$1 library=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

awk '/VISOR_API/,/;/' "$source"/include/visor/*.h | grep -oE '\bvisor_[a-z0-9_]+\(' | tr -d '(' |
    sort -u >"$scratch/headers"
sed -n 's/^    \(visor_[a-z0-9_]*\);$/\1/p' "$source/src/visor.map" | sort >"$scratch/map"
case $library in
*.dll)
    x86_64-w64-mingw32-objdump -p "$library" |
        awk '/Ordinal\/Name Pointer/ { on = 1; next } NF == 0 { on = 0 } on { print $NF }'
    ;;
*) nm -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' ;;
esac | sort >"$scratch/library"

number=0 status=0
same() { # same WHAT A B
    number=$((number + 1))
    if diff "$scratch/$2" "$scratch/$3" >"$scratch/diff"; then
        echo "ok $number - $1"
    else
        sed 's/^/# /' "$scratch/diff"
        echo "not ok $number - $1"
        status=1
    fi
}
echo 1..3
if [ -s "$scratch/headers" ]; then
    echo "ok 1 - functions found in the headers"
else
    echo "not ok 1 - functions found in the headers"
    status=1
fi
number=1
same "the version script lists what the headers declare" headers map
same "the library exports what the version script lists" map library
exit $status
