# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause
# tap.sh - what the scripts of this folder print. Sourced; the script sets $work, a scratch folder.
# shellcheck disable=SC2154
passed=0 failed=0 skipped=0

check() { # check NAME COMMAND...: a line of TAP
    name=$1
    shift
    if "$@" >"$work/check" 2>&1; then
        passed=$((passed + 1))
        echo "ok - $name"
    else
        failed=$((failed + 1))
        echo "not ok - $name"
        sed 's/^/#   /' "$work/check"
    fi
}

summary() { # the last line; 0 if nothing has failed
    echo "$passed passed, $failed failed, $skipped skipped"
    test "$failed" = 0
}
