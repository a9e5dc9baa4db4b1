#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tables.py HEADER TABLE...: prints a C array of what tables say and HEADER has.

A row of a table is a kind, a name and a value, apart by tabs. A name that a header lacks does not
compile. "NAME.variant" in a table is NAME_VARIANT in a header; a row of the older names of Gunyah,
GH_NAME, is GUNYAH_NAME in the header where the table has that too.
"""

import sys
from pathlib import Path

VARIANTS = {"legacy", "lkml17", "early61", "windows", "darwin", "ghaxm"}


def rows_of(table):
    for line in table.read_text().splitlines():
        kind, name, value = line.split("\t")
        yield kind, name, int(value, 0)


def expression(kind, name, known):
    """What stands in C for a row."""
    variant = ""
    if name.rpartition(".")[2] in VARIANTS:
        name, _, variant = name.rpartition(".")
    for old, new in (("GH_", "GUNYAH_"), ("gh_", "gunyah_")):
        renamed = new + name[len(old):]
        if name.startswith(old) and not variant and (kind, renamed) in known:
            name = renamed
    structure, _, member = name.partition(".")
    if variant:
        structure += "_" + (variant if kind in ("sizeof", "offsetof") else variant.upper())
    if kind == "sizeof":
        return f"sizeof(struct {structure})"
    if kind == "offsetof":
        return f"offsetof(struct {structure}, {member})"
    if kind in ("ioctl", "const"):
        return structure
    sys.exit(f"{kind}: an unknown kind of row")


def main():
    headers = [name for name in sys.argv[1:] if name.endswith(".h")]
    print("#include <stddef.h>\n")
    for header in headers:
        print(f"#include <{header}>")
    print('\n#include "tables.h"\n\nconst struct table_row table_rows[] = {')
    for path in map(Path, (name for name in sys.argv[1:] if not name.endswith(".h"))):
        rows = list(rows_of(path))
        known = {(kind, name) for kind, name, _ in rows}
        for kind, name, value in rows:
            actual = expression(kind, name, known)
            print(f'    {{"{path.name}: {kind} {name}", (uint64_t)({actual}), {value:#x}}},')
    print("};\nconst size_t table_row_number = sizeof(table_rows) / sizeof(table_rows[0]);")


if __name__ == "__main__":
    main()
