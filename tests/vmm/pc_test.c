/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `visor run` offers test kernels and firmware on a PC: multiboot, debug consoles, an exit
 * status of the guest's own, the firmware configuration device, and SeaBIOS ($SEABIOS), which boots
 * a disk.
 */
#include "guests.h"

#include <sys/ioctl.h>

/* Ends with a status, or, if that comes to nothing, not at all. */
#define EXIT(value) "movb $" value ", %al\n outb %al, $0xf4\n" HANG

/* ---- multiboot ---- */

/* Prints the string at ESI. */
#define PUTS "call puts\n"
#define PUTS_FUNCTION                                                            \
    "puts: movw $0x3f8, %dx\n puts_next: lodsb\n testb %al, %al\n jz puts_end\n" \
    "outb %al, %dx\n jmp puts_next\n puts_end: ret\n"

/*
 * Prints M if EAX is right; its command line; each module's, and its bytes; U if mem_upper is the
 * length in the map of what begins at 1 MiB. Ends with the number of modules.
 */
KERNEL(
    multiboot,
    "cmpl $0x2badb002, %eax\n jne failed\n movl %ebx, %ebp\n movl $0x180000, %esp\n" PRINT(
        "'M'") "movl 16(%ebp), %esi\n" PUTS
        PRINT("'|'") "movl 20(%ebp), %ecx\n movl 24(%ebp), %edi\n"
                     "next_module: testl %ecx, %ecx\n jz modules_end\n"
                     "movl 8(%edi), %esi\n" PUTS PRINT(
                         "':'") "movl (%edi), %esi\n movw $0x3f8, %dx\n"
                                "next_byte: cmpl 4(%edi), %esi\n jae bytes_end\n lodsb\n outb %al, "
                                "%dx\n jmp next_byte\n"
                                "bytes_end: " PRINT(
                                    "'|'") "addl $16, %edi\n decl %ecx\n jmp next_module\n"
                                           "modules_end: movl 48(%ebp), %esi\n movl 44(%ebp), "
                                           "%ecx\n addl %esi, %ecx\n"
                                           "next_range: cmpl %ecx, %esi\n jae failed\n"
                                           "cmpl $0x100000, 4(%esi)\n je found\n addl (%esi), "
                                           "%esi\n addl $4, %esi\n jmp next_range\n"
                                           "found: movl 12(%esi), %eax\n shrl $10, %eax\n cmpl "
                                           "%eax, 8(%ebp)\n jne failed\n" PRINT(
                                               "'U'") "movb 20(%ebp), %al\n outb %al, $0xf4\n" HANG
                                                      "failed: " EXIT("100") PUTS_FUNCTION);

/* Of code between two labels. */
static size_t length_of(const uint8_t *start, const uint8_t *end)
{
    return (size_t)(end - start);
}

#define FILE_MAX 2048
#define LOAD     0x100000

static void put_header(uint8_t *at, uint32_t flags)
{
    put(at, 0x1badb002, 4);
    put(at + 4, flags, 4);
    put(at + 8, 0u - (0x1badb002u + flags), 4);
}

/* As an ELF file of 32 bits. */
static const char *write_elf32(const char *name, uint32_t flags)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    size_t length = length_of(multiboot_start, multiboot_end);
    uint8_t file[FILE_MAX] = {0};

    memcpy(file, magic, sizeof(magic));
    put(file + 16, 2 | 3 << 16, 4);
    put(file + 20, 1, 4);
    put(file + 24, LOAD + 16, 4);
    put(file + 28, 52, 4);
    put(file + 42, 32, 2);
    put(file + 44, 1, 2);
    put(file + 52, 1, 4);
    put(file + 56, 256, 4);
    put(file + 64, LOAD, 4);
    put(file + 68, 16 + length, 4);
    put(file + 72, 0x5000, 4);
    put_header(file + 256, flags);
    memcpy(file + 272, multiboot_start, length);
    return write_file(name, file, 272 + length);
}

/* As any file, with addresses in the header. */
static const char *write_flat(const char *name)
{
    size_t length = length_of(multiboot_start, multiboot_end);
    uint8_t file[FILE_MAX] = {0};

    put_header(file + 64, 0x10003);
    put(file + 76, LOAD + 64, 4);
    put(file + 80, LOAD, 4);
    put(file + 92, LOAD + 96, 4);
    memcpy(file + 96, multiboot_start, length);
    return write_file(name, file, 96 + length);
}

TEST(multiboot_kernel_gets_command_line_modules_and_memory_map)
{
    const char *one = write_file("one", "first file", 10), *two = write_file("two", "second", 6);
    char expected[512], module[80];

    snprintf(module, sizeof(module), "%s,a b,c", one);
    for (int flat = 0; flat < 2; flat++) {
        const char *kernel = flat ? write_flat("flat") : write_elf32("elf32", 3);

        REQUIRE(RUN(&command, "run", "-m", "16", "--debug-exit", "-p", "some words", "--module",
                    module, "--module", two, kernel));
        CHECK_INT(command.status, 2 << 1 | 1);
        snprintf(expected, sizeof(expected), "M%s some words|%s a b,c:first file|%s:second|U",
                 kernel, one, two);
        CHECK_STR(command.output, expected);
    }
}

TEST(multiboot_kernels_that_cannot_be_started_are_told)
{
    const char *file = write_file("file", "x", 1);

    REQUIRE(RUN(&command, "run", write_elf32("kernel", 7)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("wants a video mode");
    REQUIRE(RUN(&command, "run", "-i", file, write_elf32("kernel", 3)));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("takes modules (--module), not an initrd");
    REQUIRE(RUN(&command, "run", "--module", "/nonexistent", write_elf32("kernel", 3)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("module '/nonexistent': No such file");
    REQUIRE(RUN(&command, "run", "--module", file, WRITE_KERNEL(multiboot)));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("is not a multiboot kernel");
}

/* ---- test kernels ---- */

/* Tells a debug console from a port that is not there, and prints there. */
KERNEL(debug_console,
       "inb $0xe9, %al\n cmpb $0xe9, %al\n jne 1f\n movb $'D', %al\n outb %al, $0xe9\n"
       "movw $0x402, %dx\n movb $'E', %al\n outb %al, %dx\n 1:" EXIT("16"));
/* The number of processors: item 5 of the firmware configuration. */
KERNEL(count_cpus, "movw $0x510, %dx\n movw $5, %ax\n outw %ax, %dx\n incw %dx\n inb %dx, %al\n"
                   "outb %al, $0xf4\n" HANG);
KERNEL(fast_reset, "inb $0x92, %al\n orb $1, %al\n outb %al, $0x92\n" HANG);

static bool file_is(const char *path, const char *text)
{
    char data[64] = "";
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, data, sizeof(data) - 1);

    close(fd);
    return CHECK_INT(got, strlen(text)) && CHECK_STR(data, text);
}

TEST(debug_consoles_take_what_is_written_there)
{
    char option[128];
    const char *path = in_folder("debug");

    snprintf(option, sizeof(option), "hardware=debugcon,debugcon_port=0x402,type=file,path=%s",
             path);
    REQUIRE(RUN(&command, "run", "-m", "16", "--debug-exit", "--serial",
                "hardware=debugcon,type=stdout", "--serial", option, WRITE_KERNEL(debug_console)));
    CHECK_INT(command.status, 33);
    CHECK_STR(command.output, "D");
    file_is(path, "E");
    /* Without them the ports are not there. */
    REQUIRE(RUN(&command, "run", "-m", "16", "--debug-exit", WRITE_KERNEL(debug_console)));
    CHECK_INT(command.status, 33);
    CHECK_STR(command.output, "");
}

TEST(a_test_kernel_learns_the_number_of_processors)
{
    REQUIRE(RUN(&command, "run", "-m", "16", "-c", "3", "--debug-exit", WRITE_KERNEL(count_cpus)));
    CHECK_INT(command.status, 3 << 1 | 1);
}

/* TSC, ACPI's timer, the seconds and the year, eight letters each, eight times. */
KERNEL(clocks, "movl $0x180000, %esp\n movl $8, %ebx\n"
               "clocks_next: rdtsc\n call clocks_show\n"
               "movw $0x608, %dx\n inl %dx, %eax\n call clocks_show\n"
               "xorl %eax, %eax\n outb %al, $0x70\n inb $0x71, %al\n call clocks_show\n"
               "movb $9, %al\n outb %al, $0x70\n inb $0x71, %al\n call clocks_show\n"
               "decl %ebx\n jnz clocks_next\n" EXIT(
                   "16") "clocks_show: movl $8, %ecx\n movl %eax, %esi\n movw $0x3f8, %dx\n"
                         "clocks_digit: roll $4, %esi\n movl %esi, %eax\n andb $15, %al\n"
                         "addb $'A', %al\n outb %al, %dx\n loop clocks_digit\n ret\n");

TEST(a_deterministic_guest_sees_the_same_clocks_each_time)
{
    const char *kernel = WRITE_KERNEL(clocks);
    char first[512];

    REQUIRE(RUN(&command, "run", "-m", "16", "--deterministic", "--debug-exit", kernel));
    CHECK_INT(command.status, 33);
    CHECK_INT(strlen(command.output), 256);
    CHECK(strncmp(command.output + 16, "AAAAAAAAAAAAAAAA", 16) == 0); /* in 2000 */
    snprintf(first, sizeof(first), "%.256s", command.output);
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(RUN(&command, "run", "-m", "16", "--deterministic", "--debug-exit", kernel));
        CHECK_STR(command.output, first);
    }
}

/* Prints more than all that stands between it and a reader holds, then how long that took it. */
KERNEL(flood, "movl $0x180000, %esp\n movl $140000, %ecx\n movw $0x3f8, %dx\n"
              "flood_next: movb $'x', %al\n outb %al, %dx\n addw $5, %dx\n"
              "flood_wait: inb %dx, %al\n testb $0x20, %al\n jz flood_wait\n"
              "subw $5, %dx\n loop flood_next\n"
              "rdtsc\n movl %eax, %esi\n movl $8, %ecx\n movw $0x3f8, %dx\n"
              "flood_digit: roll $4, %esi\n movl %esi, %eax\n andb $15, %al\n"
              "addb $'A', %al\n outb %al, %dx\n loop flood_digit\n" EXIT("16"));

/* Reads all that it prints, once no more comes if it has to wait; the last 8 bytes. */
static bool read_flood(char last[9], bool waits)
{
    int there = 0, before;
    size_t total = 0;
    ssize_t got;

    memset(last, 0, 9);
    if (!START(&command, COMMAND_PIPES, "run", "-m", "16", "--deterministic", "--debug-exit",
               WRITE_KERNEL(flood)))
        return false;
    for (int i = 0; i < 100 && waits; i++) {
        before = there;
        usleep(200000);
        if (ioctl(command.out, FIONREAD, &there) < 0 || (there != 0 && there == before))
            break;
    }
    do {
        char part[4096 + 8];

        memcpy(part, last, 8);
        got = read(command.out, part + 8, sizeof(part) - 8);
        if (got > 0)
            memcpy(last, part + got, 8);
        total += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    return CHECK(command_finish(&command)) && CHECK_INT(total, 140008) &&
           CHECK_INT(command.status, 33);
}

TEST(a_deterministic_guest_does_not_see_how_fast_its_output_is_read)
{
    char fast[9], slow[9];

    REQUIRE(read_flood(fast, false));
    REQUIRE(read_flood(slow, true));
    CHECK_STR(slow, fast);
}

/* Sets the TSC far ahead and sees ACPI's timer, and the seconds, go on as if nothing was. */
KERNEL(set_tsc, "movw $0x608, %dx\n inl %dx, %eax\n movl %eax, %esi\n"
                "movl $0x10, %ecx\n movl $0x1234567, %eax\n movl $0x543, %edx\n wrmsr\n"
                "movw $0x608, %dx\n inl %dx, %eax\n subl %esi, %eax\n"
                "cmpl $1000, %eax\n ja set_tsc_bad\n"
                "xorl %eax, %eax\n outb %al, $0x70\n inb $0x71, %al\n testb %al, %al\n"
                "jnz set_tsc_bad\n" EXIT("16") "set_tsc_bad: " EXIT("17"));

TEST(a_deterministic_guest_that_sets_its_tsc_does_not_set_other_clocks)
{
    REQUIRE(
        RUN(&command, "run", "-m", "16", "--deterministic", "--debug-exit", WRITE_KERNEL(set_tsc)));
    CHECK_INT(command.status, 33);
}

TEST(system_control_port_a_resets)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(fast_reset)));
    CHECK_INT(command.status, 32);
}

/* ---- firmware ---- */

/*
 * A boot sector: reads the next sector with the BIOS; sees whether the BIOS tells of memory, and
 * whether there is an RSDP with a good sum where the BIOS has to put it; prints the string of the
 * sector at COM1 and at the debug console. Any failure ends it with 0. While it prints, interrupts
 * are off: in them SeaBIOS writes its screen to the same port.
 */
__asm__(".pushsection .rodata\nboot_sector: .code16\n"
        "xorw %ax, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n movw $0x7c00, %sp\n"
        "movb $0x42, %ah\n movw $(0x7c00 + bs_packet - boot_sector), %si\n int $0x13\n"
        "jc bs_fail\n"
        "movl $0xe820, %eax\n xorl %ebx, %ebx\n movl $20, %ecx\n movl $0x534d4150, %edx\n"
        "movw $0x9000, %di\n int $0x15\n jc bs_fail\n cmpl $0x534d4150, %eax\n jne bs_fail\n"
        "cli\n movw $0xf000, %ax\n movw %ax, %es\n xorw %di, %di\n"
        "1: cmpl $0x20445352, %es:(%di)\n jne 2f\n cmpl $0x20525450, %es:4(%di)\n je 3f\n"
        "2: addw $16, %di\n jnz 1b\n jmp bs_fail\n"
        "3: movw $20, %cx\n xorb %al, %al\n"
        "4: addb %es:(%di), %al\n incw %di\n loop 4b\n testb %al, %al\n jnz bs_fail\n"
        "movw $0x8000, %si\n movw $0x3f8, %dx\n"
        "5: lodsb\n testb %al, %al\n jz 6f\n outb %al, %dx\n outb %al, $0xe9\n jmp 5b\n"
        "6: movb $21, %al\n outb %al, $0xf4\n"
        "bs_fail: movb $0, %al\n outb %al, $0xf4\n 7: hlt\n jmp 7b\n"
        "bs_packet: .byte 16, 0, 1, 0\n .word 0x8000, 0\n .quad 1\n"
        "boot_sector_end: .code64\n.popsection\n");
extern const uint8_t boot_sector[], boot_sector_end[];

static const char *write_disk(void)
{
    static uint8_t disk[1 << 20]; /* SeaBIOS finds no cylinders on a small one */

    memcpy(disk, boot_sector, length_of(boot_sector, boot_sector_end));
    disk[510] = 0x55;
    disk[511] = 0xaa;
    snprintf((char *)disk + 512, 32, "<from the disk>");
    return write_file("boot.img", disk, sizeof(disk));
}

TEST(seabios_boots_a_disk)
{
    const char *bios = getenv("SEABIOS"), *debug = in_folder("e9");
    char option[128], disk[80];

    if (bios == NULL)
        SKIP("no SeaBIOS at hand (package seabios)");
    snprintf(option, sizeof(option), "hardware=debugcon,type=file,path=%s", debug);
    snprintf(disk, sizeof(disk), "path=%s,ro", write_disk());
    for (int cpus = 1; cpus <= 2; cpus++) {
        REQUIRE(RUN(&command, "run", "-m", "64", "-c", cpus == 1 ? "1" : "2", "--bios", bios,
                    "--debug-exit", "--serial", "type=stdout", "--serial", option, "-b", disk));
        CHECK_INT(command.status, 21 << 1 | 1);
        CHECK_OUTPUT("SeaBIOS (version");
        CHECK_OUTPUT("Booting from Hard Disk");
        CHECK_OUTPUT("<from the disk>");
        file_is(debug, "<from the disk>");
    }
}

TEST(files_that_are_no_firmware_are_told)
{
    static uint8_t rom[8192];

    REQUIRE(RUN(&command, "run", "--bios", write_file("rom", rom, 5000)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("not a whole number of 4 KiB up to 16 MiB");
    REQUIRE(RUN(&command, "run", "--bios", write_file("rom", rom, sizeof(rom))));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("no jump where a processor begins");
    REQUIRE(RUN(&command, "run", "--bios", "/nonexistent"));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("firmware '/nonexistent': No such file");
}

TEST(wrong_options_say_what_is_wrong)
{
    static const struct {
        const char *words[5], *message;
    } cases[] = {
        {{"run", "--bios", "b", "k"}, "it takes no kernel"},
        {{"run", "--bios", "b", "--module", "m"}, "it takes no kernel"},
        {{"run", "--bios", "b", "-p", "x"}, "it takes no kernel"},
        {{"run", "--module", ",x", "k"}, "FILE is missing"},
        {{"run", "--decompress", "both", "k"}, "auto, host or guest, not 'both'"},
        {{"run", "--serial", "type=sink,hardware=debugcon,stdin", "k"},
         "neither console nor stdin"},
        {{"run", "--serial", "type=sink,hardware=debugcon,debugcon_port=0x10000", "k"},
         "debugcon_port is 1 to 65535"},
        {{"run", "--serial", "type=sink,hardware=tape", "k"}, "not 'tape'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *words[6] = {0};

        memcpy(words, cases[i].words, sizeof(cases[i].words));
        REQUIRE(command_start(&command, COMMAND_PIPES, words) && command_finish(&command));
        CHECK_INT(command.status, 35);
        CHECK_OUTPUT(cases[i].message);
    }
}

int main(int argc, char **argv)
{
    return guests_main(argc, argv);
}
