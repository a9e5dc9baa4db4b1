/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decoder against the disassembler of GNU binutils: random words of "Loads and stores" are
 * disassembled, and what the text says is compared with what the decoder says.
 *
 * VISOR_A64_WORDS=N and VISOR_A64_SEED=N in the environment change how many words and which.
 */
#include <stdlib.h>
#include <unistd.h>

#include "a64_text.h"
#include "numbers.h"
#include "unit.h"

#define OBJDUMP "aarch64-linux-gnu-objdump -D -z -b binary -m aarch64 -M no-aliases "

static uint64_t state;

static uint32_t next_random(void)
{
    return (uint32_t)(numbers_next(&state) >> 32);
}

static unsigned long setting(const char *name, unsigned long fallback)
{
    const char *value = getenv(name);

    return value != NULL ? strtoul(value, NULL, 0) : fallback;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ---- reading the disassembler's text ---- */

struct parsed {
    char file; /* 'x' or 'v'; 0: no registers */
    unsigned reg[4];
    unsigned count;
    unsigned size;     /* bytes that the first register's name says */
    unsigned elements; /* of {Vn.4S}; 1 of {Vn.S} */
    bool is_list;
    int lane;            /* < 0: none */
    char address[64];    /* as a64_text.h writes it; without for a literal */
    const char *literal; /* the target, in hex */
};

static unsigned size_of_letter(char letter)
{
    switch (letter) {
    case 'b': return 1;
    case 'h': return 2;
    case 'w':
    case 's': return 4;
    case 'q': return 16;
    default: return 8; /* x, d */
    }
}

/* x3, wzr, sp, q31: the number, and the rest of the text. */
static unsigned take_number(const char **text)
{
    char *end;
    unsigned long number;

    if (starts_with(*text + 1, "zr")) {
        *text += 3;
        return 31;
    }
    if (starts_with(*text, "sp")) {
        *text += 2;
        return 31;
    }
    number = strtoul(*text + 1, &end, 10);
    *text = end;
    return (unsigned)number;
}

static void take_register(struct parsed *out, const char **text)
{
    const char letter = **text;

    if (out->count == 0) {
        out->file = letter == 'x' || letter == 'w' ? 'x' : 'v';
        out->size = size_of_letter(letter);
    }
    if (out->count < 4)
        out->reg[out->count++] = take_number(text);
}

/* {v1.4s, v2.4s}, {v1.4s-v4.4s}, {v31.b, v0.b}[3] */
static const char *take_list(struct parsed *out, const char *text)
{
    out->is_list = true;
    out->file = 'v';
    out->elements = 1;
    while (*text != '}') {
        char *end;
        bool is_range = *text == '-';

        text += strcspn(text, "v");
        if (is_range) {
            unsigned last = (unsigned)strtoul(text + 1, NULL, 10);

            while (out->count < 4 && out->reg[out->count - 1] != last) {
                out->reg[out->count] = (out->reg[out->count - 1] + 1) % 32;
                out->count++;
            }
        } else {
            out->reg[out->count++ % 4] = (unsigned)strtoul(text + 1, NULL, 10);
        }
        text = strchr(text, '.') + 1;
        if (*text >= '0' && *text <= '9')
            out->elements = (unsigned)strtoul(text, &end, 10), text = end;
        out->size = size_of_letter(*text++);
    }
    if (text[1] != '[')
        return text + 1;
    out->lane = (int)strtol(text + 2, NULL, 10);
    return strchr(text, ']') + 1;
}

/* ", x3, lsl #2" or ", #8" after a base. */
static void take_offset(char *out, const char *text, bool is_post)
{
    char extend[8] = "lsl";
    unsigned shift = 0, number;

    if (*text == '#') {
        long imm = strtol(text + 1, NULL, 0);

        if (is_post)
            a64_append(out, "%ld", imm);
        else if (imm != 0)
            a64_append(out, "%+ld", imm);
        return;
    }
    number = take_number(&text);
    if (starts_with(text, ", "))
        /* NOLINTNEXTLINE(cert-err34-c): objdump's numbers are in range. */
        sscanf(text, ", %7[a-z] #%u", extend, &shift);
    if (number != 31)
        a64_append(out, "%sx%u %s %u", is_post ? "" : "+", number, extend, shift);
}

/* [x2], [x2, #8]!, [x2], x3 */
static void take_address(struct parsed *out, const char *text)
{
    const char *end = strchr(text, ']');
    unsigned base;

    text++;
    base = take_number(&text);
    if (base == 31)
        a64_append(out->address, " [sp");
    else
        a64_append(out->address, " [x%u", base);
    if (starts_with(text, ", "))
        take_offset(out->address, text + 2, false);
    a64_append(out->address, "]");
    if (end[1] == '!')
        a64_append(out->address, " pre");
    if (starts_with(end + 1, ", ")) {
        a64_append(out->address, " post ");
        take_offset(out->address, end + 3, true);
    }
}

static void parse_operands(struct parsed *out, const char *text)
{
    *out = (struct parsed){.lane = -1, .elements = 1};
    while (*text != '\0' && *text != '[') {
        if (*text == '{')
            text = take_list(out, text);
        else if (starts_with(text, "0x"))
            out->literal = text, text += strlen(text);
        else
            take_register(out, &text);
        text += strspn(text, ", ");
    }
    if (*text == '[')
        take_address(out, text);
}

/* ---- what it means, in the words of a64_text.h ---- */

static void expect_registers(char *out, char file, const unsigned *reg, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        a64_append(out, "%s%c%u", i == 0 ? " " : ",", file, reg[i]);
}

/* The part of a mnemonic after its stem says how much is accessed. True if it is one. */
static bool read_suffix(unsigned *size, bool *sign, const char *suffix)
{
    static const char *const suffixes[] = {"", "b", "h", "sb", "sh", "sw"};
    static const uint8_t sizes[] = {0, 1, 2, 1, 2, 4};

    for (unsigned i = 0; i < 6; i++) {
        if (strcmp(suffix, suffixes[i]) == 0) {
            *size = sizes[i];
            *sign = i >= 3;
            return true;
        }
    }
    return false;
}

/* One register: LDR, STURB, LDAPURSW... False: some other mnemonic. */
static bool expect_single(char *out, const char *mnemonic, const struct parsed *p, uint64_t pc)
{
    /* The longer first. */
    static const char *const stems[] = {"ldapur", "ldapr", "ldlar", "ldar", "ldur", "ldtr", "ldr",
                                        "stlur",  "stllr", "stlr",  "stur", "sttr", "str"};
    unsigned size = 0;
    bool sign = false;
    const char *stem = NULL;

    for (size_t i = 0; stem == NULL && i < sizeof(stems) / sizeof(stems[0]); i++) {
        if (starts_with(mnemonic, stems[i]) &&
            read_suffix(&size, &sign, mnemonic + strlen(stems[i])))
            stem = stems[i];
    }
    if (stem == NULL)
        return false;
    a64_append(out, "%s", stem[0] == 'l' ? "load" : "store");
    expect_registers(out, p->file, p->reg, 1);
    a64_append(out, " %u", size != 0 ? size : p->size);
    if (sign)
        a64_append(out, " signed %u", p->size);
    if (p->literal != NULL) {
        int64_t distance = (int64_t)(strtoull(p->literal, NULL, 16) - pc);

        a64_append(out, distance != 0 ? " [pc%+lld]" : " [pc]", (long long)distance);
    }
    a64_append(out, "%s%s", p->address, stem[2] == 't' ? " as el0" : "");
    return true;
}

static bool expect_pair(char *out, const char *mnemonic, const struct parsed *p)
{
    const bool sign = strcmp(mnemonic, "ldpsw") == 0;

    if (!sign && strcmp(mnemonic + 2, "p") != 0 && strcmp(mnemonic + 2, "np") != 0)
        return false;
    a64_append(out, "%s", mnemonic[0] == 'l' ? "load" : "store");
    expect_registers(out, p->file, p->reg, 2);
    a64_append(out, sign ? " 4 signed 8" : " %u", p->size);
    a64_append(out, "%s", p->address);
    return true;
}

static bool expect_structures(char *out, const char *mnemonic, const struct parsed *p)
{
    if (!p->is_list)
        return false;
    a64_append(out, "%s", mnemonic[0] == 'l' ? "load" : "store");
    expect_registers(out, 'v', p->reg, p->count);
    a64_append(out, " %u", p->size);
    if (mnemonic[3] == 'r')
        a64_append(out, " fill %u", p->size * p->elements);
    else if (p->elements > 1)
        a64_append(out, "x%u", p->elements);
    if (p->lane >= 0)
        a64_append(out, " lane %d", p->lane);
    else if (mnemonic[3] != 'r' && mnemonic[2] != '1')
        a64_append(out, " round");
    a64_append(out, "%s", p->address);
    return true;
}

/* LDADDALB, SWP, CASPA... */
static bool expect_atomic(char *out, const char *mnemonic, const struct parsed *p)
{
    static const char *const stems[] = {"ldadd",  "ldclr",  "ldeor", "ldset", "ldsmax", "ldsmin",
                                        "ldumax", "ldumin", "swp",   "casp",  "cas"};
    const char *stem = NULL, *suffix;
    unsigned pair;

    for (size_t i = 0; stem == NULL && i < sizeof(stems) / sizeof(stems[0]); i++) {
        if (starts_with(mnemonic, stems[i]))
            stem = stems[i];
    }
    if (stem == NULL)
        return false;
    pair = strcmp(stem, "casp") == 0 ? 2 : 1;
    suffix = mnemonic + strlen(stem);
    suffix += strspn(suffix, "al");
    a64_append(out, "%s", pair == 2 ? "cas" : stem + (stem[0] == 'l' ? 2 : 0));
    expect_registers(out, 'x', p->reg + pair, pair);
    a64_append(out, " by");
    expect_registers(out, 'x', p->reg, pair);
    a64_append(out, " %u%s", *suffix != '\0' ? size_of_letter(*suffix) : p->size, p->address);
    return true;
}

static bool expect_refused(char *out, const char *mnemonic)
{
    static const struct {
        const char *start, *refusal;
    } refused[] = {
        {"ldxr", "EXCLUSIVE"},     {"stxr", "EXCLUSIVE"},  {"ldaxr", "EXCLUSIVE"},
        {"stlxr", "EXCLUSIVE"},    {"ldxp", "EXCLUSIVE"},  {"stxp", "EXCLUSIVE"},
        {"ldaxp", "EXCLUSIVE"},    {"stlxp", "EXCLUSIVE"}, {"ldraa", "POINTER_AUTH"},
        {"ldrab", "POINTER_AUTH"}, {"stg", "TAGS"},        {"ldg", "TAGS"},
        {"st2g", "TAGS"},          {"stz", "TAGS"},        {"cpy", "COPY"},
        {"set", "COPY"},           {"ld64b", "LS64"},      {"st64b", "LS64"},
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (starts_with(mnemonic, refused[i].start)) {
            a64_append(out, "refused %s", refused[i].refusal);
            return true;
        }
    }
    return false;
}

static void expect(char *out, const char *mnemonic, const char *operands, uint64_t pc)
{
    struct parsed parsed;

    out[0] = '\0';
    if (starts_with(mnemonic, ".inst") || starts_with(mnemonic, "udf"))
        a64_append(out, "refused");
    else if (starts_with(mnemonic, "prf"))
        a64_append(out, "nothing");
    if (out[0] != '\0' || expect_refused(out, mnemonic))
        return;
    parse_operands(&parsed, operands);
    if (!expect_structures(out, mnemonic, &parsed) && !expect_atomic(out, mnemonic, &parsed) &&
        !expect_pair(out, mnemonic, &parsed) && !expect_single(out, mnemonic, &parsed, pc))
        a64_append(out, "(no idea)");
}

/* ---- the test ---- */

/*
 * CONSTRAINED UNPREDICTABLE words, which the decoder performs and the disassembler does not print:
 * a field that should be ones in LDAR, LDAPR and the like; LDPSW that loads a register twice, or
 * its own base.
 */
static bool is_unpredictable(uint32_t word)
{
    const uint32_t rt = word & 31, rn = word >> 5 & 31, rt2 = word >> 10 & 31, rs = word >> 16 & 31;

    if ((word & 0x3fa00000) == 0x08800000)
        return rt2 != 31 || rs != 31;
    if ((word & 0x3fe0fc00) == 0x38a0c000)
        return rs != 31;
    if ((word & 0xfe400000) == 0x68400000)
        return rt == rt2 || ((word & 1u << 23) != 0 && rn != 31 && (rn == rt || rn == rt2));
    return false;
}

static uint32_t random_word(void)
{
    uint32_t word;

    do
        word = (next_random() | UINT32_C(1) << 27) & ~(UINT32_C(1) << 25);
    while (is_unpredictable(word));
    return word;
}

static bool write_words(const char *path, unsigned long count)
{
    FILE *file = fopen(path, "wb");
    bool ok = file != NULL;

    for (unsigned long i = 0; ok && i < count; i++) {
        uint32_t word = random_word();

        ok = fwrite(&word, sizeof(word), 1, file) == 1;
    }
    return file != NULL && fclose(file) == 0 && ok;
}

/* One line: "  1c:\t38c01441 \tldrsb\tw1, [x2], #1". Returns 1 if it is one and agrees, 0 if it is
 * none, -1 if it does not agree. */
static int check_line(char *line, unsigned *performed)
{
    char wanted[A64_TEXT], text[A64_TEXT], *mnemonic, *operands;
    unsigned long long pc;
    unsigned word;

    line[strcspn(line, "\n")] = '\0';
    /* NOLINTNEXTLINE(cert-err34-c): objdump's numbers are in range. */
    if (sscanf(line, " %llx:\t%x", &pc, &word) != 2 || strchr(line, '\t') == NULL)
        return 0;
    mnemonic = strchr(strchr(line, '\t') + 1, '\t');
    if (mnemonic == NULL)
        return 0;
    mnemonic++;
    operands = mnemonic + strcspn(mnemonic, "\t");
    if (*operands != '\0')
        *operands++ = '\0';
    operands[strcspn(operands, "/;<")] = '\0'; /* comments */
    expect(wanted, mnemonic, operands, pc);
    a64_describe(text, word);
    *performed += !starts_with(text, "refused");
    if (strcmp(wanted, text) == 0 || (strcmp(wanted, "refused") == 0 && starts_with(text, wanted)))
        return 1;
    printf("# 0x%08x %s %s: is \"%s\", should be \"%s\"\n", word, mnemonic, operands, text, wanted);
    return -1;
}

TEST(the_disassembler_agrees)
{
    const unsigned long count = setting("VISOR_A64_WORDS", 20000);
    char path[] = "/tmp/visor-words-XXXXXX", command[256], line[256];
    unsigned agreed = 0, differ = 0, performed = 0;
    int fd = mkstemp(path);
    FILE *objdump;

    REQUIRE(fd >= 0);
    close(fd);
    state = setting("VISOR_A64_SEED", 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    REQUIRE(write_words(path, count));
    snprintf(command, sizeof(command), OBJDUMP "%s 2>&1", path);
    objdump = popen(command, "r"); /* NOLINT(cert-env33-c): a tool found by its name */
    REQUIRE(objdump != NULL);
    while (fgets(line, sizeof(line), objdump) != NULL) {
        int result = check_line(line, &performed);

        agreed += result > 0;
        differ += result < 0;
        if (differ > 20)
            break;
    }
    pclose(objdump);
    unlink(path);
    if (agreed + differ == 0)
        SKIP("no aarch64-linux-gnu-objdump");
    printf("# %u words, %u of them performed\n", agreed, performed);
    CHECK_INT(differ, 0);
    CHECK_INT(agreed, count);
}

UNIT_MAIN()
