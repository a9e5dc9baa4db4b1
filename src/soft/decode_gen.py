#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""decode_gen.py IDS ROWS TABLE...: makes the decoder's headers out of its tables.

IDS is for everybody (enum soft_insn_id, enum soft_feature), ROWS for decode.c. The notation of the
tables is explained at the top of insn_one_byte.tbl.
"""

import re
import sys

MAPS = ["ONE", "0F", "0F38", "0F3A", "VEX1", "VEX2", "VEX3"]

# What a row is chosen by: (name, lowest bit, bits). RM and REG are where ModRM has them.
KEY = [("RM", 0, 3), ("REG", 3, 3), ("MOD3", 6, 1), ("PREFIX", 7, 2), ("MODE64", 9, 1),
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

# Sizes: letters of the SDM, and our own: x2, x4, x8, that part of x; n, 8 bytes in 64-bit mode,
# else 4. In bytes, by operand size, whether it is 64-bit mode, W and the length of a vector.
SIZES = {
    **{letters: (lambda *_, n=n: n) for letters, n in
       {"": 0, "b": 1, "w": 2, "d": 4, "q": 8, "t": 10, "dq": 16, "512": 512}.items()},
    "v": lambda v, is_64, w, x: v,
    "y": lambda v, is_64, w, x: 8 if w and is_64 else 4,
    "z": lambda v, is_64, w, x: min(v, 4),
    "n": lambda v, is_64, w, x: 8 if is_64 else 4,
    "x": lambda v, is_64, w, x: x,
    "x2": lambda v, is_64, w, x: x // 2,
    "x4": lambda v, is_64, w, x: x // 4,
    "x8": lambda v, is_64, w, x: x // 8,
    "p": lambda v, is_64, w, x: v + 2,
    "s": lambda v, is_64, w, x: 10 if is_64 else 6,
    "a": lambda v, is_64, w, x: 2 * v,
    "env": lambda v, is_64, w, x: 14 if v == 2 else 28,
    "save": lambda v, is_64, w, x: 94 if v == 2 else 108,
}
SIZE_NAMES = list(SIZES)
SIZE_NAMES_OF_SCALARS = {"ss": "d", "sd": "q"}

# Letters: the kind of operand, where its number is, and whether ModRM.rm must be (m) memory or
# (r) a register.
LETTERS = {
    "E": ("GPR", "RM", ""), "R": ("GPR", "RM", "r"), "M": ("MEM", "RM", "m"),
    "G": ("GPR", "REG", ""), "B": ("GPR", "VVVV", ""), "Z": ("GPR", "LOW", ""),
    "V": ("XMM", "REG", ""), "W": ("XMM", "RM", ""), "U": ("XMM", "RM", "r"),
    "H": ("XMM", "VVVV", ""), "P": ("MMX", "REG", ""), "Q": ("MMX", "RM", ""),
    "N": ("MMX", "RM", "r"), "S": ("SEG", "REG", ""), "C": ("CR", "REG", ""),
    "D": ("DR", "REG", ""),
}
# These are not a register or ModRM's memory: done by a case of their own each.
CASES = {"I": "IMM", "J": "REL", "A": "FAR", "O": "OFFSET", "L": "IS4"}
# Operands that are no letter with a size: kind, size, register
WORDS = {
    "AL": ("GPR", "b", 0), "CL": ("GPR", "b", 1), "AX": ("GPR", "w", 0), "DX": ("GPR", "w", 2),
    "eAX": ("GPR", "z", 0), "rAX": ("GPR", "v", 0), "XMM0": ("XMM", "dq", 0),
    "ST0": ("ST", "t", 0),
    **{s: ("SEG", "w", n) for n, s in enumerate(("ES", "CS", "SS", "DS", "FS", "GS"))},
}
# Words with a case of their own: case, size
CASE_WORDS = {
    "1": ("ONE", "b"),
    "Iz": ("SIMM", "z"), "sIb": ("SIMM", "b"), # sign-extended to the operand size
    # gathers: elements of 4 or 8 bytes; the size is that of the register of indices
    "VM4x": ("VSIB4", "x"), "VM4dq": ("VSIB4", "dq"), "VM8x": ("VSIB8", "x"),
    "VM8dq": ("VSIB8", "dq"),
}
CASE_NAMES = ["NONE", *CASES.values(), "ONE", "SIMM", "VSIB4", "VSIB8", "SYSTEM"]
SOURCES = ["FIXED", "REG", "RM", "VVVV", "LOW"]
SEVEN = ("MMX", "ST", "SEG") # of these there are eight, whatever REX says


class Bad(Exception):
    pass


class Form:
    """An operand: what struct form says, and what it demands of ModRM."""

    def __init__(self, text):
        self.kind, self.source, self.case = "NONE", "FIXED", "NONE"
        self.reg, self.where = 0, ""
        if text in WORDS:
            self.kind, size, self.reg = WORDS[text]
        elif text in CASE_WORDS:
            self.case, size = CASE_WORDS[text]
            self.where = "m" if self.case.startswith("VSIB") else ""
        elif text == "STi":
            self.kind, self.source, size = "ST", "RM", "t"
        elif text[0] in CASES:
            self.case, size = CASES[text[0]], text[1:]
        elif text[0] in LETTERS:
            self.kind, self.source, self.where = LETTERS[text[0]]
            self.case = "SYSTEM" if self.kind in ("CR", "DR", "SEG") else "NONE"
            size = text[1:]
        else:
            raise Bad(f"operand {text}")
        if "/" in text: # Rd/Mb
            self.where = ""
            size, memory_size = text[1:].split("/M")
        else:
            memory_size = size
        self.size, self.memory_size = (SIZE_NAMES_OF_SCALARS.get(x, x)
                                       for x in (size, memory_size))
        if self.size not in SIZES or self.memory_size not in SIZES:
            raise Bad(f"size of {text}")
        self.needs_modrm = self.source in ("REG", "RM") or bool(self.where)

    def text(self):
        mask = 7 if self.kind in SEVEN else 15
        return (f"{{SOFT_OPERAND_{self.kind}, SOURCE_{self.source}, CASE_{self.case}, "
                f"{SIZE_NAMES.index(self.size)}, {SIZE_NAMES.index(self.memory_size)}, "
                f"{self.reg}, {mask}}},")

    def is_byte(self):
        return self.size == self.memory_size == "b" and \
            (self.kind == "GPR" or self.case == "OFFSET")


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
            form = Form(text)
            self.forms.append(form)
            self.modrm |= form.needs_modrm
            if form.where and not self.modreg and "MOD3" not in self.key:
                self.key["MOD3"] = int(form.where == "r")
        has_vvvv = any(form.source == "VVVV" for form in self.forms)
        if has_vvvv and not map_name.startswith("VEX"):
            raise Bad("VEX.vvvv without VEX")
        if not has_vvvv and map_name.startswith("VEX"):
            self.rules.append("NO_VVVV")
        if self.forms and self.forms[0].is_byte():
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


def write_sizes(out):
    """By operand size (log2), 2 * is 64-bit mode + W, whether vectors have 32 bytes."""
    out.write(f"static const uint16_t sizes[4][4][2][{len(SIZES)}] = {{\n")
    for v in (1, 2, 4, 8):
        out.write("    {\n")
        for is_64, w in ((0, 0), (0, 1), (1, 0), (1, 1)):
            out.write("        {\n")
            for x in (16, 32):
                row = ", ".join(str(size(v, is_64, w, x)) for size in SIZES.values())
                out.write(f"            {{{row}}},\n")
            out.write("        },\n")
        out.write("    },\n")
    out.write("};\n\n")


def write_rows(path, table, flags):
    forms = {} # text: number; 0 is none
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
                numbers = [forms.setdefault(form.text(), len(forms) + 1) for form in row.forms]
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
        for name, words in (("map", MAPS), ("source", SOURCES), ("case", CASE_NAMES)):
            out.write(f"enum {name}_id {{\n")
            out.writelines(f"    {name.upper()}_{word},\n" for word in words)
            out.write("};\n\n")
        out.write("enum key {\n")
        out.writelines(f"    KEY_{name} = 1 << {low},\n" for name, low, _ in KEY)
        out.write("};\n\n")
        write_sizes(out)
        out.write("static const struct form forms[] = {\n    {0, 0, 0, 0, 0, 0, 0},\n")
        out.writelines(f"    {form}\n" for form in forms)
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
