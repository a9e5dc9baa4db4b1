# shellcheck shell=sh
# common.sh - what the scripts of this folder share: the cache, packages without root,
# initrds. Sourced; the script sets $me (its name, for messages) and, where it fetches,
# $deb (the Debian architecture).
# shellcheck disable=SC2154

die() { echo "$me: $*" >&2; exit 125; }

# need COMMAND PACKAGE: note a package that is missing; needed: end if any was.
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
needed() {
    [ -z "$missing" ] ||
        die "missing; as root: apt-get install --no-install-recommends$missing"
}

number() { # number OPTION VALUE
    case $2 in '' | *[!0-9]* | 0*) die "$1 needs a whole number above 0, not '$2'" ;; esac
}

# Tools such as mke2fs are outside the path of ordinary users.
PATH=$PATH:/usr/sbin:/sbin

cache_folder() { # cache_folder NAME: set $cache, and see that it can be written
    [ -n "${HOME-}" ] || HOME=$(getent passwd "$(id -u)" | cut -d : -f 6)
    cache=${VISOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/visor}/$1
    { mkdir -p "$cache" && [ -x "$cache" ]; } 2>/dev/null ||
        die "cannot make or enter $cache (set VISOR_CACHE)"
    cache=$(cd "$cache" && pwd)
}

# once FILE NAME COMMAND...: unless FILE exists, run COMMAND, which makes it, under the
# lock NAME, so that of two runs in parallel one makes it and the other waits.
# Descriptor 5 is the lock: a COMMAND that starts something lasting has to close it.
once() {
    [ -e "$1" ] && return 0
    once_file=$1
    { exec 5>"$cache/.lock-$2"; } 2>/dev/null || die "cannot write to $cache (set VISOR_CACHE)"
    flock 5
    shift 2
    [ -e "$once_file" ] || "$@"
    exec 5>&-
}

mirror() { # the Debian archive that this machine installs from
    if [ -n "${LAB_MIRROR-}" ]; then echo "$LAB_MIRROR"; return; fi
    {
        sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources || :
        sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/*.list || :
    } 2>/dev/null | grep debian | grep -v security | head -n 1
}

# The functions below work in $A, a scratch folder that workshop makes inside the cache.
# The script's EXIT trap removes it.
A=
workshop() {
    A=$(mktemp -d "$cache/build.XXXXXX") || die "cannot write to $cache (set VISOR_CACHE)"
    mkdir "$A/x" "$A/new"
}

private_apt() { # private_apt TOOL ARG...: apt with lists and cache of its own, without root
    apt_tool=$1
    shift
    "$apt_tool" -qq -o Dir::Etc::SourceList="$A/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$A/state" -o Dir::State::Status="$A/status" -o Dir::Cache="$A/cache" \
        -o APT::Architecture="$deb" -o APT::Architectures="$deb" -o APT::Sandbox::User= \
        -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any "$@"
}

archive() { # archive SUITE: read the lists of that suite
    fetch_from=$(mirror)
    [ -n "$fetch_from" ] || die "no Debian archive in apt's sources (set LAB_MIRROR)"
    fetch_ring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$fetch_ring" ] || die "missing; as root: apt-get install debian-archive-keyring"
    mkdir -p "$A/state/lists/partial" "$A/cache/archives/partial" "$A/deb"
    : >"$A/status"
    echo "deb [signed-by=$fetch_ring] $fetch_from $1 main" >"$A/sources.list"
    private_apt apt-get update >&2 || die "cannot read $fetch_from ($1, $deb): no network?"
}

unpack() { # unpack PACKAGE...: of the suite of archive, into $A/x
    (cd "$A/deb" && private_apt apt-get download "$@" >&2) || die "cannot download $*"
    for fetch_deb in "$A"/deb/*.deb; do
        dpkg-deb -x "$fetch_deb" "$A/x" || die "cannot unpack ${fetch_deb##*/}"
    done
}

fetch() { # fetch SUITE KERNEL-PACKAGE: unpack it and busybox-static into $A/x
    echo "$me: fetching $2 ($1, $deb), once" >&2
    archive "$1"
    # linux-image-amd64 is empty and depends on the kernel proper.
    fetch_image=$(private_apt apt-cache depends "$2" |
        awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
    fetch_image=${fetch_image:-$2}
    unpack "$fetch_image" busybox-static
    cp "$A"/x/boot/vmlinu[xz]-* "$A/new/kernel" || die "$fetch_image holds no kernel"
}

take() { # take MODULE: from $A/x into the initrd $A/root, after the modules it depends on
    ! grep -qx "$1" "$A/root/mods/order" || return 0
    take_file=$(find "$A/x" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko*" -print | head -n 1)
    case $take_file in
    '') return 0 ;; # built into this kernel
    *.xz) xz -dc "$take_file" >"$A/root/mods/$1.ko" ;;
    *) cp "$take_file" "$A/root/mods/$1.ko" ;;
    esac
    # No variable of this function is used after the recursion.
    for take_dep in $(tr '\0' '\n' <"$A/root/mods/$1.ko" |
        LC_ALL=C sed -n 's/^depends=//p' | tr , ' '); do
        take "$take_dep"
    done
    echo "$1" >>"$A/root/mods/order"
}

initrd_root() { # initrd_root MODULE...: $A/root with busybox, the modules and /init from stdin
    mkdir -p "$A/root/mods" "$A/root/bin" "$A/root/etc" "$A/root/proc" "$A/root/sys" \
        "$A/root/dev" "$A/root/tmp" "$A/root/root" "$A/root/out"
    find "$A/x" -name busybox -type f -perm -u+x -exec cp {} "$A/root/bin/busybox" \;
    ln -s busybox "$A/root/bin/sh"
    echo 'root:x:0:0::/root:/bin/sh
nobody:x:65534:65534::/:/bin/sh' >"$A/root/etc/passwd"
    echo 'root:x:0:
kvm:x:104:
nogroup:x:65534:' >"$A/root/etc/group"
    : >"$A/root/mods/order"
    for initrd_module; do take "$initrd_module"; done
    cat >"$A/root/init"
    chmod 755 "$A/root/init"
}

pack() { # pack DIR: a newc archive of DIR, owned by root, on standard output
    (cd "$1" && find . -print | LC_ALL=C sort | cpio --quiet -o -H newc -R +0:+0)
}

keep() { # keep FOLDER: $A/new becomes FOLDER of the cache, whole or not at all
    mv -T "$A/new" "$1" || die "cannot write $1"
    rm -rf "$A"
    A=
}

# What a run brings into a lab, collected in $T, a scratch folder of the script.

quote() { printf "'"; printf %s "$1" | sed "s/'/'\\\\''/g"; printf "' "; }

libraries() { # libraries PROGRAM: the loader and libraries of a dynamic one, into the lab
    # Flat in /lib, which the loader always searches, because a run path that is
    # relative to the program ends where the program is moved.
    ldd "$1" 2>/dev/null | sed -n 's/^.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p' |
        while read -r lib; do
            dest=/lib
            case $lib in /lib64/ld-*) dest=/lib64 ;; esac
            mkdir -p "$T/root$dest"
            cp -L "$lib" "$T/root$dest/"
        done
}

add() { # add SRC DEST: a file or folder of the host into the lab
    [ -r "$1" ] || die "$1: no such file, or not readable"
    case $2 in
    */) mkdir -p "$T/root$2" ;;
    *) mkdir -p "$T/root$(dirname "$2")" ;;
    esac
    cp -RL "$1" "$T/root$2" || die "cannot copy $1"
    [ ! -f "$1" ] || [ ! -x "$1" ] || libraries "$1"
}

file() { # file SRC[:DEST]: the option -f
    case $1 in
    *:/*) add "${1%%:/*}" "/${1#*:/}" ;;
    *) add "$1" /lab/ ;;
    esac
}

variable() { # variable NAME=VALUE: the option -e
    case ${1%%=*} in
    "$1" | '' | [0-9]* | *[!A-Za-z0-9_]*) die "-e needs NAME=VALUE, not '$1'" ;;
    esac
    echo "export ${1%%=*}=$(quote "${1#*=}")" >>"$T/env"
}

bring() { # bring COMMAND [ARG...]: program, files, command line and time of day, as $T/input
    if [ -f "$1" ] && case $1 in */*) true ;; *) [ ! -e "$T/root/lab/$1" ] ;; esac; then
        add "$1" /lab/
        bring_program=/lab/$(basename "$1")
        shift
        set -- "$bring_program" "$@"
    fi
    {
        echo "date -s @$(date +%s) >/dev/null"
        cat "$T/env"
        for bring_word; do quote "$bring_word"; done
        echo
    } >"$T/root/lab/.cmd"
    pack "$T/root" >"$T/input" || die "cannot pack the files for the run"
}
