#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# options.sh PAGE COMMAND...: the manual page has the long options that --help of the commands has, and
# no others. Not every text has --help and --version themselves.
set -u
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
page=$1
shift
# shellcheck disable=SC2086 # a program and its arguments
for command; do $command --help || exit 1; done >"$scratch/help"
[ -s "$scratch/help" ] || exit 1
grep -oE -e '--[a-z]+(-[a-z]+)*' "$scratch/help" | sort -u >"$scratch/in-help"
grep -E '^\.(It|Op|Fl|Nm)' "$page" | grep -oE '(Fl|,) -[a-z]+(-[a-z]+)*' | sed 's/.* /-/' |
    sort -u >"$scratch/in-page"
sed -i '/^--help$/d; /^--version$/d' "$scratch/in-help" "$scratch/in-page"
diff "$scratch/in-help" "$scratch/in-page"
