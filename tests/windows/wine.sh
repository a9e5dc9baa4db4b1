# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause
# wine.sh - Wine for the scripts of this folder, and how it ends. Sourced.
wine=/usr/lib/wine

wine_begin() { # wine_begin PREFIX: its files are in this folder, which is made where there is none
    case $1 in
    /*) WINEPREFIX=$1 ;;
    *) WINEPREFIX=$PWD/$1 ;;
    esac
    export WINEPREFIX WINEDEBUG=-all
    # None of what would ask to be installed.
    export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="
    mkdir -p "$WINEPREFIX"
    # The server stays between programs: one that ends just when the next begins resets its connection.
    "$wine/wineserver64" -p600 >/dev/null 2>&1 </dev/null || true
    # Its processes stay a while, and must not hold our output.
    timeout 300 "$wine/wine64" wineboot >/dev/null 2>&1 </dev/null
}

wine_end() {
    "$wine/wineserver64" -k >/dev/null 2>&1 </dev/null || true
}
