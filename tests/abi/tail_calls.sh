#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# tail_calls.sh ARCH OBJDUMP LIBRARY: handlers of the software CPU jump to the next one. One that
# calls it instead (because a local variable's address is known elsewhere) leaves a frame on the
# stack each time it is executed, and a loop of the guest overflows the stack.
set -eu
arch=$1 objdump=$2 library=$3

# The next micro-operation is 32 bytes further, and begins with the address of its handler (uop.h).
case $arch in
x86_64) load='mov +0x20\\(.*\\),%s$' call='\tcall +[*]' jump='\tjmp +[*]' ;;
aarch64) load='\tldr\t%s, \\[x[0-9]+, #32\\]' call='\tblr\tx' jump='\tbr\tx' ;;
riscv64) load='\tld\t%s,32\\(' call='\tjalr\t[^,]*$' jump='\tjr\t' ;;
*) echo "tail_calls.sh: unknown architecture $arch" >&2; exit 2 ;;
esac
found=$("$objdump" -d --no-show-raw-insn "$library" | awk -v load="$load" -v call="$call" -v jump="$jump" '
    # Whether this line goes to what was loaded from there, by itself or a few lines before.
    function to_next(    register, i) {
        register = $NF
        if (register ~ /^\*0x20\(/) return 1
        sub(/^\*/, "", register)
        for (i = 1; i < 8; i++) if (before[(NR + 8 - i) % 8] ~ sprintf(load, register)) return 1
        return 0
    }
    / file format / { member = $1 }
    /^[0-9a-f]+ <[^.].*>:$/ { name = $2 }
    { before[NR % 8] = $0 }
    member !~ /soft_op_/ { next }
    $0 ~ call && to_next() { print "# " member " " name " calls the next handler" }
    $0 ~ jump { jumps++ }
    END { print jumps + 0 }')
jumps=$(echo "$found" | tail -n 1)
calls=$(echo "$found" | sed '$d')
status=0
result() { # result NUMBER NAME COMMAND...
    number=$1 name=$2
    shift 2
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        status=1
    fi
}
echo 1..2
result 1 "handlers that jump to another are found ($jumps)" test "$jumps" -ge 200
[ -z "$calls" ] || echo "$calls"
result 2 "none calls the next" test -z "$calls"
exit $status
