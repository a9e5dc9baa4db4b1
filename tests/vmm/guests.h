/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the visor command: kernels of a few instructions, which stand beside what is
 * expected of them, and files in a folder that main() makes and removes.
 */
#ifndef VISOR_TESTS_GUESTS_H
#define VISOR_TESTS_GUESTS_H

#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"

/* ---- kernels: PVH, so they start in 32-bit protected mode with flat segments ---- */

#define KERNEL(name, code)                                                      \
    __asm__(".pushsection .rodata\n" #name "_start:\n.code32\n" code "\n" #name \
            "_end:\n.code64\n.popsection\n");                                   \
    extern const uint8_t name##_start[], name##_end[]

/* Prints a character at COM1. */
#define PRINT(character) "movw $0x3f8, %dx\n movb $" character ", %al\n outb %al, %dx\n"
#define HANG             "cli\n 9: hlt\n jmp 9b\n"
/* ACPI's way off: SLP_TYP 5, SLP_EN in PM1a_CNT. */
#define POWEROFF "movw $0x604, %dx\n movw $0x3400, %ax\n outw %ax, %dx\n" HANG

static char folder[] = "/tmp/visor-cli-XXXXXX";

static inline const char *in_folder(const char *name)
{
    static char paths[8][64];
    static int next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline const char *write_file(const char *name, const void *data, size_t length)
{
    const char *path = in_folder(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0);
    CHECK_INT(write(fd, data, length), length);
    close(fd);
    return path;
}

static inline void put(uint8_t *at, uint64_t value, int width)
{
    for (int i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* An ELF file around the code, loaded at 1 MiB, with the note that names its entry point. */
static inline const char *write_kernel(const uint8_t *start, const uint8_t *end)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    size_t length = (size_t)(end - start);
    uint8_t file[1024] = {0};

    memcpy(file, magic, sizeof(magic));
    put(file + 16, 2, 2);
    put(file + 18, 62, 2);
    put(file + 20, 1, 4);
    put(file + 32, 64, 8);
    put(file + 54, 56, 2);
    put(file + 56, 2, 2);
    put(file + 64, 1, 4); /* PT_LOAD */
    put(file + 72, 256, 8);
    put(file + 88, 0x100000, 8);
    put(file + 96, length, 8);
    put(file + 104, length, 8);
    put(file + 120, 4, 4); /* PT_NOTE */
    put(file + 128, 192, 8);
    put(file + 152, 20, 8);
    put(file + 192, 4, 4);
    put(file + 196, 4, 4);
    put(file + 200, 18, 4);
    memcpy(file + 204, "Xen", 4);
    put(file + 208, 0x100000, 4);
    memcpy(file + 256, start, length);
    return write_file("kernel", file, 256 + length);
}
#define WRITE_KERNEL(name) write_kernel(name##_start, name##_end)

static inline const char *make_disk(const char *name, off_t length)
{
    const char *path = write_file(name, "", 0);

    CHECK_INT(truncate(path, length), 0);
    return path;
}

static inline const char *block_option(const char *path, const char *more)
{
    static char options[2][128];
    static int next;
    char *option = options[next++ % 2];

    snprintf(option, sizeof(options[0]), "path=%s%s", path, more);
    return option;
}

static struct command command;

#define CHECK_OUTPUT(text)                                                                \
    do {                                                                                  \
        if (!CHECK(strstr(command.output, (text)) != NULL))                               \
            printf("#   the output is \"%s\", without \"%s\"\n", command.output, (text)); \
    } while (0)

/* main() of a test program. */
static inline int guests_main(int argc, char **argv)
{
    char cleanup[64];
    int status;

    if (mkdtemp(folder) == NULL)
        return 1;
    status = unit_main(argc, argv);
    snprintf(cleanup, sizeof(cleanup), "rm -r %s", folder);
    if (system(cleanup) != 0) /* NOLINT(cert-env33-c): our own words */
        return 1;
    return status;
}

#endif
