#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""decode_gen.py IDS ROWS TABLE...: makes the decoder's headers out of its tables.

IDS is for everybody (enum soft_insn_id, enum soft_feature), ROWS for decode.c. The notation of the
tables is explained at the top of insn_one_byte.tbl.
"""

import re
import sys

MAPS = ["ONE", "0F", "0F38", "0F3A", "VEX1", "VEX2", "VEX3"]

# What a row is chosen by: (name, lowest bit, bits)
KEY = [("PREFIX", 0, 2), ("REG", 2, 3), ("RM", 5, 3), ("MOD3", 8, 1), ("MODE64", 9, 1),
       ("W", 10, 1), ("L", 11, 1), ("B", 12, 1)]
SHIFT = {name: low for name, low, _ in KEY}
WIDTH = {name: bits for name, _, bits in KEY}
CONSTRAINTS = {
    "np": ("PREFIX", 0), "66": ("PREFIX", 1), "f3": ("PREFIX", 2), "f2": ("PREFIX", 3), # VEX.pp
    "reg": ("MOD3", 1), "mem": ("MOD3", 0), "o64": ("MODE64", 1), "i64": ("MODE64", 0),
    "w0": ("W", 0), "w1": ("W", 1), "l0": ("L", 0), "l1": ("L", 1), "b0": ("B", 0),
    **{f"/{n}": ("REG", n) for n in range(8)},
}

ATTRIBUTES = {"lock": "LOCKABLE", "string": "STRING", "test": "STRING_TEST", "cpl0": "CPL0",
              "cpl0ud": "CPL0_UD",
              "branch": "BRANCH", "end": "ENDS_BLOCK", "stack": "STACK"}
RULES = {"d64": "D64", "f64": "F64", "byte": "BYTE", "max4": "MAX4", "native": "NATIVE",
         "gather": "GATHER"}
FLAGS = "CPAZSODX" # from bit 0
# Of conditions O, B, Z, BE, S, P, L, LE; the odd ones are their opposites.
CONDITIONS = ["O", "C", "Z", "CZ", "S", "P", "SO", "ZSO"]

# Sizes: letters of the SDM, and FIXED_n. x2, x4, x8: that part of x. n: 8 bytes in 64-bit mode, else 4.
SIZES = {"": "0", "b": "1", "w": "2", "d": "4", "q": "8", "dq": "16", "ss": "4", "sd": "8",
         "t": "10", "512": "512",
         **{s: s.upper() for s in ("v", "y", "z", "n", "x", "x2", "x4", "x8", "p", "s", "a",
                                   "env", "save")}}
FIXED_SIZES = [0, 1, 2, 4, 8, 10, 16, 512]
SIZE_RULES = [f"FIXED_{n}" for n in FIXED_SIZES] + [s for s in SIZES.values() if not s.isdigit()]
# Letters: what holds the operand, and whether ModRM.rm must be (m) memory or (r) a register.
LETTERS = {
    "E": ("RM", ""), "R": ("RM", "r"), "M": ("RM", "m"), "G": ("REG", ""), "B": ("VVVV", ""),
    "Z": ("LOW", ""), "V": ("VREG", ""), "W": ("VRM", ""), "U": ("VRM", "r"), "H": ("VVVVV", ""),
    "L": ("VIS4", ""), "P": ("MREG", ""), "Q": ("MRM", ""), "N": ("MRM", "r"), "S": ("SEG", ""),
    "C": ("CR", ""), "D": ("DR", ""), "I": ("IMM", ""), "J": ("REL", ""), "A": ("FAR", ""),
    "O": ("OFFSET", ""),
}
# Operands that are no letter with a size: (how, size, register)
WORDS = {
    "AL": ("GPR", "b", 0), "CL": ("GPR", "b", 1), "AX": ("GPR", "w", 0), "DX": ("GPR", "w", 2),
    "eAX": ("GPR", "z", 0), "rAX": ("GPR", "v", 0), "1": ("NUMBER", "b", 1),
    **{s: ("SEGMENT", "w", n) for n, s in enumerate(("ES", "CS", "SS", "DS", "FS", "GS"))},
    "Iz": ("SIMM", "z", 0), "sIb": ("SIMM", "b", 0), # sign-extended to the operand size
    "XMM0": ("XMM", "dq", 0), "ST0": ("ST", "t", 0), "STi": ("STI", "t", 0),
    # gathers: elements of 4 or 8 bytes; the size is that of the register of indices
    "VM4x": ("VSIB4", "x", 0), "VM4dq": ("VSIB4", "dq", 0), "VM8x": ("VSIB8", "x", 0),
    "VM8dq": ("VSIB8", "dq", 0),
}
HOWS = sorted({how for how, _ in LETTERS.values()} | {how for how, _, _ in WORDS.values()})
VEX_SOURCES = ("VVVV", "VVVVV")
NO_MODRM = ("LOW", "IMM", "SIMM", "REL", "FAR", "OFFSET", "GPR", "NUMBER", "SEGMENT", "XMM", "ST")


class Bad(Exception):
    pass


def size_rule(text):
    if text not in SIZES:
        raise Bad(f"size {text}")
    size = SIZES[text]
    return f"FIXED_{size}" if size.isdigit() else size


def parse_form(text):
    """(how, size as a register, size in memory, register), constraint of ModRM.rm"""
    if text in WORDS:
        how, size, reg = WORDS[text]
        return (how, size_rule(size), size_rule(size), reg), "m" if how.startswith("VSIB") else ""
    if "/" in text: # Rd/Mb
        one, two = text.split("/")
        return (LETTERS[one[0]][0], size_rule(one[1:]), size_rule(two[1:]), 0), ""
    if text[0] not in LETTERS:
        raise Bad(f"operand {text}")
    how, where = LETTERS[text[0]]
    rule = size_rule(text[1:])
    return (how, rule, rule, 0), where


class Row:
    def __init__(self, map_name, feature, line):
        words = line.split()
        self.opcodes, self.conditional = self.parse_opcode(words.pop(0))
        self.key = {}
        self.modrm = self.modreg = False
        while not re.match("[A-Z]", words[0]):
            self.constrain(words.pop(0))
        self.name = words.pop(0)
        operands = []
        if words and re.search("[A-Z]", words[0]) and words[0][0] != "[":
            operands = words.pop(0).split(",")
        self.attributes, self.rules, self.feature = [], [], feature
        for word in words:
            if word == "modreg":
                self.modreg = True
            elif word in ATTRIBUTES:
                self.attributes.append(ATTRIBUTES[word])
            elif word in RULES:
                self.rules.append(RULES[word])
            elif re.fullmatch(r"\[\w+\]", word):
                feature = self.feature = word[1:-1]
            else:
                raise Bad(f"attribute {word}")
        if "BRANCH" in self.attributes:
            self.attributes.append("ENDS_BLOCK")
        self.forms = []
        for text in operands:
            form, where = parse_form(text)
            self.forms.append(form)
            self.modrm |= form[0] not in NO_MODRM
            if where and not self.modreg and "MOD3" not in self.key:
                self.key["MOD3"] = int(where == "r")
        if map_name.startswith("VEX"):
            if not any(form[0] in VEX_SOURCES for form in self.forms):
                self.rules.append("NO_VVVV")
        elif any(form[0] in VEX_SOURCES for form in self.forms):
            raise Bad("VEX.vvvv without VEX")
        if self.forms and self.forms[0][0] in ("RM", "REG", "LOW", "GPR", "OFFSET") and \
                self.forms[0][1] == self.forms[0][2] == "FIXED_1":
            self.rules.append("BYTE")

    @staticmethod
    def parse_opcode(text):
        first = int(text[:2], 16)
        count = {"": 1, "+r": 8, "+cc": 16}[text[2:]]
        return range(first, first + count), count == 16

    def constrain(self, word):
        if word[0] == "=":
            modrm = int(word[1:], 16)
            self.key.update(MOD3=1, REG=modrm >> 3 & 7, RM=modrm & 7)
            if modrm < 0xc0:
                raise Bad(word)
            self.modrm = True
        elif word in CONSTRAINTS:
            name, value = CONSTRAINTS[word]
            self.key[name] = value
            self.modrm |= name in ("REG", "MOD3")
        else:
            raise Bad(f"constraint {word}")

    def match(self):
        mask = value = 0
        for name, number in self.key.items():
            mask |= ((1 << WIDTH[name]) - 1) << SHIFT[name]
            value |= number << SHIFT[name]
        return mask, value


def parse_flags(words):
    flags = {"r": 0, "w": 0, "c": 0}
    while re.match("[rwc]=", words[0]):
        which, letters = words.pop(0).split("=")
        flags[which] = sum(1 << FLAGS.index(letter) for letter in letters)
    return (flags["r"], flags["w"], flags["c"]), words


def read(files):
    table = {} # (map, opcode): rows
    flags = {}
    for file in files:
        with open(file, encoding="ascii") as lines:
            map_name = feature = None
            for number, line in enumerate(lines, 1):
                line = line.rstrip()
                if not line or line[0] == "#":
                    continue
                try:
                    words = line.split()
                    if words[0] == ".map":
                        map_name = words[1]
                    elif words[0] == ".feature":
                        feature = words[1]
                    elif words[0] == ".flags":
                        which, names = parse_flags(words[1:])
                        flags.update(dict.fromkeys(names, which))
                    else:
                        row = Row(map_name, feature, line)
                        for opcode in row.opcodes:
                            add(table.setdefault((map_name, opcode), []), row)
                except (Bad, KeyError, IndexError, ValueError) as error:
                    sys.exit(f"{file}:{number}: {line}: {error}")
    return table, flags


def add(rows, row):
    mask, value = row.match()
    for other in rows:
        other_mask, other_value = other.match()
        if mask & other_mask == other_mask and value & other_mask == other_value:
            raise Bad(f"never reached because of {other.name}")
    rows.append(row)


def share_ids(table):
    """A VEX encoding has the id of its legacy form."""
    legacy = {row.name for (where, _), rows in table.items() if where[0] != "V" for row in rows}
    for (where, _), rows in table.items():
        for row in rows:
            if where[0] == "V" and row.name[0] == "V" and row.name[1:] in legacy:
                row.name = row.name[1:]
    return sorted({row.name for rows in table.values() for row in rows})


def write_ids(path, names, features):
    with open(path, "w", encoding="ascii") as out:
        out.write("/* Made from src/soft/insn_*.tbl by decode_gen.py. */\n"
                  "#ifndef VISOR_SOFT_INSN_IDS_H\n#define VISOR_SOFT_INSN_IDS_H\n\n")
        for macro, words in (("SOFT_INSN_IDS", names), ("SOFT_FEATURES", features)):
            out.write(f"#define {macro}(X) \\\n")
            out.write(" \\\n".join(f"    X({word})" for word in words) + "\n\n")
        out.write("enum soft_insn_id {\n    SOFT_INSN_NONE,\n")
        out.writelines(f"    SOFT_INSN_{name},\n" for name in names)
        out.write("    SOFT_INSN_COUNT\n};\n\nenum soft_feature {\n")
        out.writelines(f"    SOFT_FEATURE_{name},\n" for name in features)
        out.write("    SOFT_FEATURE_COUNT\n};\n\n#endif\n")


def bits(prefix, names):
    return " | ".join(prefix + name for name in names) or "0"


def write_rows(path, table, flags):
    forms = {} # form: number; 0 is none
    lines = []
    heads = {} # rows: index of the first, that opcodes with the same rows share them
    head_of = {}
    for where, rows in table.items():
        read_by_condition = 0
        if rows[0].conditional:
            read_by_condition = sum(1 << FLAGS.index(letter)
                                    for letter in CONDITIONS[where[1] >> 1 & 7])
        same = (tuple(rows), read_by_condition)
        if same not in heads:
            heads[same] = len(lines)
            for row in rows:
                numbers = [forms.setdefault(form, len(forms) + 1) for form in row.forms]
                read_flags, written, changed = flags.get(row.name, (0, 0, 0))
                mask, value = row.match()
                lines.append(
                    f"{{0x{mask:04x}, 0x{value:04x}, SOFT_INSN_{row.name}, "
                    f"{bits('SOFT_ATTR_', row.attributes)}, {bits('RULE_', row.rules)}, "
                    f"SOFT_FEATURE_{row.feature}, {read_flags | read_by_condition}, {written}, "
                    f"{changed}, {{{', '.join(map(str, numbers)) or 0}}}}},")
        if len({(row.modrm, row.modreg) for row in rows}) != 1:
            sys.exit(f"decode_gen.py: {where}: ModRM or not?")
        head_flags = ["MODRM"] * rows[0].modrm + ["MODREG"] * rows[0].modreg
        head_of[where] = f"{{{heads[same]}, {len(rows)}, {bits('HEAD_', head_flags)}}}"
    with open(path, "w", encoding="ascii") as out:
        out.write("/* Made from src/soft/insn_*.tbl by decode_gen.py: see decode.c. */\n\n")
        for name, words in (("map", MAPS), ("how", HOWS), ("size", SIZE_RULES)):
            out.write(f"enum {name} {{\n")
            out.writelines(f"    {name.upper()}_{word},\n" for word in words)
            out.write("};\n\n")
        out.write("enum key {\n")
        out.writelines(f"    KEY_{name} = 1 << {low},\n" for name, low, _ in KEY)
        out.write("};\n\nstatic const struct form forms[] = {\n    {0, 0, 0, 0},\n")
        out.writelines(f"    {{HOW_{how}, SIZE_{one}, SIZE_{two}, {reg}}},\n"
                       for how, one, two, reg in forms)
        out.write("};\n\nstatic const struct row rows[] = {\n")
        out.writelines(f"    {line}\n" for line in lines)
        out.write("};\n\nstatic const struct head heads[][256] = {\n")
        for map_name in MAPS:
            out.write(f"    [MAP_{map_name}] = {{\n")
            out.writelines(f"        [0x{opcode:02x}] = {head},\n"
                           for (where, opcode), head in sorted(head_of.items())
                           if where == map_name)
            out.write("    },\n")
        out.write("};\n")


def main():
    ids, rows, *files = sys.argv[1:]
    table, flags = read(files)
    names = share_ids(table)
    unknown = set(flags) - set(names)
    if unknown:
        sys.exit(f"decode_gen.py: flags of unknown instructions: {' '.join(sorted(unknown))}")
    features = {row.feature for rows_ in table.values() for row in rows_}
    write_ids(ids, names, ["BASE", *sorted(features - {"BASE"})])
    write_rows(rows, table, flags)


main()
