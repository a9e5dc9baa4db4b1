/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The visor command from outside: exit statuses, the terminal, serial ports, disks, and what it
 * says to bad input. The guests are kernels of a few instructions, here beside what is expected of
 * them.
 */
#include "guests.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

/* ---- kernels ---- */

KERNEL(poweroff, PRINT("'#'") POWEROFF);
KERNEL(reset, "movw $0xcf9, %dx\n movb $6, %al\n outb %al, %dx\n" HANG);
KERNEL(keyboard_reset, "movb $0xfe, %al\n outb %al, $0x64\n" HANG);
/* An interrupt table of nothing: what is at 0x8000 is zero. */
KERNEL(triple_fault, "lidt 0x8000\n int3\n" HANG);
KERNEL(panic, "movw $0x505, %dx\n inb %dx, %al\n andb $1, %al\n outb %al, %dx\n" HANG);
/* Tells a thousand times of a panic that it goes on from. */
KERNEL(chatter, "movl $1000, %ecx\n movw $0x505, %dx\n movb $2, %al\n"
                "1: outb %al, %dx\n decl %ecx\n jnz 1b\n" POWEROFF);
KERNEL(hang, PRINT("'#'") HANG);
KERNEL(flood, PRINT("'#'") "1: outb %al, %dx\n jmp 1b\n");
/* 4 KiB, then off. */
KERNEL(burst, "movl $4096, %ecx\n movw $0x3f8, %dx\n movb $'b', %al\n"
              "1: outb %al, %dx\n decl %ecx\n jnz 1b\n" POWEROFF);
/* Says that it is ready (RTS), then repeats what it is given, in capitals; 'q' ends it. */
KERNEL(echo, PRINT("'#'") "movw $0x3fc, %dx\n movb $3, %al\n outb %al, %dx\n"
                          "1: movw $0x3fd, %dx\n inb %dx, %al\n testb $1, %al\n jz 1b\n"
                          "movw $0x3f8, %dx\n inb %dx, %al\n cmpb $'q', %al\n je 2f\n"
                          "cmpb $'a', %al\n jb 3f\n subb $32, %al\n 3: outb %al, %dx\n jmp 1b\n"
                          "2:" POWEROFF);
/* What nobody answers reads as ones: 'y' if so. */
KERNEL(nobody_home, "movw $0x1234, %dx\n inl %dx, %eax\n cmpl $-1, %eax\n jne 1f\n"
                    "movl 0xc8000000, %eax\n cmpl $-1, %eax\n jne 1f\n"
                    "movl %eax, 0xc8000000\n" PRINT("'y'") "1:" POWEROFF);
/* Prints its command line: start_info is in EBX, the address of the line at offset 24. */
KERNEL(show_params, "movl 24(%ebx), %esi\n movw $0x3f8, %dx\n"
                    "1: lodsb\n testb %al, %al\n jz 2f\n outb %al, %dx\n jmp 1b\n 2:" POWEROFF);
/* Prints a letter at each port. */
KERNEL(two_ports, PRINT("'1'") "movw $0x2f8, %dx\n movb $'2', %al\n outb %al, %dx\n" POWEROFF);

/* ---- the ends of a guest ---- */

TEST(a_guest_that_powers_off_gives_status_0)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "#");
}

TEST(a_guest_that_resets_gives_status_32)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(reset)));
    CHECK_INT(command.status, 32);
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(keyboard_reset)));
    CHECK_INT(command.status, 32);
    CHECK_OUTPUT("asked for a reset");
}

TEST(a_guest_that_crashes_gives_status_33)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(triple_fault)));
    CHECK_INT(command.status, 33);
    CHECK_OUTPUT("the guest crashed: vCPU 0: ");
}

TEST(a_guest_that_panics_gives_status_34)
{
    REQUIRE(RUN(&command, "run", "-m", "16", "-c", "2", WRITE_KERNEL(panic)));
    CHECK_INT(command.status, 34);
    CHECK_OUTPUT("the guest panicked");
}

TEST(a_guest_cannot_fill_the_log)
{
    const char *line = command.output;
    int lines = 0;

    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(chatter)));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("starts its crash kernel");
    CHECK_OUTPUT("no more messages");
    while ((line = strstr(line, "crash kernel")) != NULL) {
        line++;
        lines++;
    }
    CHECK(lines < 200);
}

TEST(a_bus_that_nobody_answers_on_reads_as_ones)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(nobody_home)));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "y");
}

TEST(more_memory_than_fits_below_the_hole_boots)
{
    REQUIRE(RUN(&command, "run", "-m", "3500", WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 0);
}

TEST(many_processors_boot)
{
    REQUIRE(RUN(&command, "run", "-m", "16", "-c", "8", WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 0);
}

TEST(the_kernel_command_line_is_the_defaults_and_what_was_given)
{
    REQUIRE(RUN(&command, "run", "-m", "16", "-p", "root=/dev/vda ro", "--params", "quiet",
                WRITE_KERNEL(show_params)));
    CHECK_STR(command.output, "panic=-1 console=ttyS0 root=/dev/vda ro quiet");
}

/* ---- serial ports ---- */

TEST(standard_input_reaches_the_guest_through_pipes)
{
    REQUIRE(START(&command, COMMAND_PIPES, "run", "-m", "16", WRITE_KERNEL(echo)));
    command_type(&command, "hello \x01x 16 and some more bytes than a FIFO holds\nq", 51);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "#HELLO \x01X 16 AND SOME MORE BYTES THAN A FIFO HOLDS\n");
}

TEST(the_end_of_standard_input_does_not_end_the_guest)
{
    REQUIRE(START(&command, COMMAND_PIPES, "run", "-m", "16", WRITE_KERNEL(echo)));
    close(command.in);
    command.in = -1;
    CHECK(command_expect(&command, NULL, "#"));
    usleep(200000);
    CHECK_INT(kill(command.pid, 0), 0);
    CHECK_INT(waitpid(command.pid, NULL, WNOHANG), 0);
    kill(command.pid, SIGTERM);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 128 + SIGTERM);
}

TEST(serial_ports_go_to_files_and_sinks)
{
    const char *one = in_folder("one");
    char option[96], text[8] = "";
    int fd;

    snprintf(option, sizeof(option), "type=file,path=%s", one);
    REQUIRE(RUN(&command, "run", "-m", "16", "--serial", option, "--serial", "type=stdout,num=2",
                WRITE_KERNEL(two_ports)));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "2");
    fd = open(one, O_RDONLY);
    REQUIRE(fd >= 0);
    CHECK_INT(read(fd, text, sizeof(text) - 1), 1);
    CHECK_STR(text, "1");
    close(fd);
    REQUIRE(RUN(&command, "run", "-m", "16", "--serial", "type=sink", WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "");
}

TEST(a_serial_port_goes_to_a_socket_both_ways)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = in_folder("socket");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer;
    char option[96], text[8] = "";
    struct pollfd poller;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    REQUIRE(listen(listener, 1) == 0);
    snprintf(option, sizeof(option), "type=unix,path=%s,console", path);
    REQUIRE(
        START(&command, COMMAND_PIPES, "run", "-m", "16", "--serial", option, WRITE_KERNEL(echo)));
    poller = (struct pollfd){.fd = listener, .events = POLLIN};
    REQUIRE(poll(&poller, 1, 20000) == 1);
    peer = accept(listener, NULL, NULL);
    CHECK_INT(write(peer, "xyzq", 4), 4);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK_INT(recv(peer, text, 4, MSG_WAITALL), 4);
    CHECK_STR(text, "#XYZ");
    close(peer);
    close(listener);
}

TEST(all_output_arrives_before_the_end)
{
    REQUIRE(RUN(&command, "run", "-m", "16", WRITE_KERNEL(burst)));
    CHECK_INT(command.status, 0);
    CHECK_INT(command.length, 4096);
}

TEST(output_that_nobody_takes_does_not_stop_the_guest)
{
    REQUIRE(START(&command, COMMAND_DEAF, "run", "-m", "16", WRITE_KERNEL(burst)));
    REQUIRE(command_finish_unread(&command));
    CHECK_INT(command.status, 0);
}

TEST(output_that_cannot_be_written_is_told)
{
    REQUIRE(START(&command, COMMAND_FULL, "run", "-m", "16", WRITE_KERNEL(poweroff)));
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("output of a serial port is lost: No space left on device");
    REQUIRE(START(&command, COMMAND_FULL, "help"));
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("standard output: No space left on device");
}

TEST(closed_standard_streams_are_not_taken_by_other_files)
{
    REQUIRE(START(&command, COMMAND_CLOSED, "run", "-m", "16", WRITE_KERNEL(poweroff)));
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("output of a serial port is lost: Bad file descriptor");
}

/* ---- the terminal ---- */

TEST(the_terminal_is_raw_while_the_guest_runs_and_restored_when_it_ends)
{
    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(echo)));
    CHECK(command_expect(&command, NULL, "#"));
    CHECK(command_await_raw(&command, true));
    command_type(&command, "abc\003\032\034q", 7); /* no ^C, ^Z, ^\ of the host's */
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("ABC\003\032\034");
    CHECK(!command_is_raw(&command));
}

TEST(ctrl_a_x_ends_and_restores_the_terminal)
{
    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(hang)));
    CHECK(command_expect(&command, NULL, "#"));
    CHECK(command_await_raw(&command, true));
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK(!command_is_raw(&command));
}

TEST(ctrl_a_has_help_and_can_be_sent)
{
    size_t seen = 0;

    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(echo)));
    CHECK(command_expect(&command, &seen, "#"));
    CHECK(command_await_raw(&command, true));
    command_type(&command, "\001h", 2);
    CHECK(command_expect(&command, &seen, "Ctrl-A x"));
    CHECK(command_expect(&command, &seen, "\r\n"));
    command_type(&command, "\001a\001\001.", 5);
    CHECK(command_expect(&command, &seen, "\001\001."));
    command_type(&command, "\001p", 2);
    CHECK(command_expect(&command, &seen, "does not listen to its power button"));
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
}

TEST(ctrl_a_x_ends_a_guest_that_takes_no_input)
{
    char keys[1000];

    memset(keys, 'k', sizeof(keys));
    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(hang)));
    CHECK(command_expect(&command, NULL, "#"));
    CHECK(command_await_raw(&command, true));
    command_type(&command, keys, sizeof(keys));
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
}

TEST(ctrl_a_x_ends_a_guest_whose_output_nobody_reads)
{
    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(flood)));
    CHECK(command_expect(&command, NULL, "####"));
    CHECK(command_await_raw(&command, true));
    usleep(300000);
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish_unread(&command));
    CHECK_INT(command.status, 0);
    CHECK(!command_is_raw(&command));
}

TEST(signals_end_the_machine_and_restore_the_terminal)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGSEGV, SIGABRT};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(hang)));
        CHECK(command_expect(&command, NULL, "#"));
        CHECK(command_await_raw(&command, true));
        kill(command.pid, signals[i]);
        REQUIRE(command_finish(&command));
        CHECK_INT(command.status, 128 + signals[i]);
        CHECK(!command_is_raw(&command));
    }
}

TEST(a_stopped_machine_gives_the_terminal_back_and_goes_on_later)
{
    size_t seen = 0;
    int status = 0;

    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(echo)));
    CHECK(command_expect(&command, &seen, "#"));
    CHECK(command_await_raw(&command, true));
    kill(command.pid, SIGTSTP);
    CHECK_INT(waitpid(command.pid, &status, WUNTRACED), command.pid);
    CHECK(WIFSTOPPED(status));
    CHECK(!command_is_raw(&command));
    kill(command.pid, SIGCONT);
    CHECK(command_await_raw(&command, true));
    command_type(&command, "on", 2);
    CHECK(command_expect(&command, &seen, "ON"));
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
}

TEST(a_machine_that_was_stopped_by_force_has_the_terminal_raw_again)
{
    struct termios before, settings;
    int status = 0;

    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", WRITE_KERNEL(hang)));
    REQUIRE(tcgetattr(command.terminal, &before) == 0);
    CHECK(command_expect(&command, NULL, "#"));
    CHECK(command_await_raw(&command, true));
    kill(command.pid, SIGSTOP);
    CHECK_INT(waitpid(command.pid, &status, WUNTRACED), command.pid);
    settings = before; /* as a shell does */
    settings.c_lflag |= ICANON | ECHO | ISIG;
    CHECK_INT(tcsetattr(command.terminal, TCSANOW, &settings), 0);
    kill(command.pid, SIGCONT);
    CHECK(command_await_raw(&command, true));
    command_type(&command, "\001x", 2);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 0);
    CHECK(!command_is_raw(&command));
}

/* Waits until there is something in the file. */
static bool await_content(const char *path)
{
    struct stat file;

    for (int i = 0; i < 1200; i++) {
        if (stat(path, &file) == 0 && file.st_size > 0)
            return true;
        usleep(50000);
    }
    return false;
}

TEST(a_machine_without_input_leaves_the_terminal_alone_after_a_stop)
{
    const char *log = in_folder("log");
    char option[96];
    int status = 0;

    unlink(log);
    snprintf(option, sizeof(option), "type=file,path=%s", log);
    REQUIRE(START(&command, COMMAND_TERMINAL, "run", "-m", "16", "--serial", option,
                  WRITE_KERNEL(hang)));
    /* Before visor listens, the kernel drops this signal: there is no shell that could go on. */
    REQUIRE(await_content(log));
    kill(command.pid, SIGTSTP);
    CHECK_INT(waitpid(command.pid, &status, WUNTRACED), command.pid);
    CHECK(WIFSTOPPED(status));
    kill(command.pid, SIGCONT);
    usleep(300000);
    CHECK(!command_is_raw(&command));
    kill(command.pid, SIGTERM);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 128 + SIGTERM);
}

TEST(signals_that_the_caller_ignores_are_ignored)
{
    REQUIRE(START(&command, COMMAND_NOHUP, "run", "-m", "16", WRITE_KERNEL(hang)));
    CHECK(command_expect(&command, NULL, "#"));
    kill(command.pid, SIGHUP);
    usleep(300000);
    CHECK_INT(waitpid(command.pid, NULL, WNOHANG), 0);
    kill(command.pid, SIGTERM);
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 128 + SIGTERM);
}

/* ---- bad input ---- */

TEST(wrong_options_give_status_35_and_say_what_is_wrong)
{
    static const struct {
        const char *words[4], *message;
    } cases[] = {
        {{"bogus"}, "there is no command 'bogus'"},
        {{"run"}, "a kernel is missing"},
        {{"run", "--bogus", "k"}, "there is no option --bogus"},
        {{"run", "-smp", "2", "k"}, "there is no option -s"},
        {{"run", "-m"}, "-m needs a value"},
        {{"run", "--mem"}, "--mem needs a value"},
        {{"run", "-m", "2G", "k"}, "--mem (in MiB): '2G' is not a whole number"},
        {{"run", "-m", "-5", "k"}, "'-5' is not"},
        {{"run", "-m", "0", "k"}, "0 MiB is too little"},
        {{"run", "-m", "99999999999999999999999", "k"}, "too large"},
        {{"run", "-m", "18446744073709551615", "k"}, "too much"},
        {{"run", "-c", "0", "k"}, "0 is too few"},
        {{"run", "-c", "four", "k"}, "'four' is not"},
        {{"run", "k", "l"}, "what is 'l'"},
        {{"run", "--dump-fdt"}, "--dump-fdt needs a value"},
        {{"run", "-b", "path=", "k"}, "path=FILE is missing"},
        {{"run", "-b", "path=d,rw=yes", "k"}, "there is no key 'rw'"},
        {{"run", "-b", "path=d,ro=maybe", "k"}, "ro=maybe: true or false"},
        {{"run", "--serial", "num=1", "k"}, "type=stdout|file|unix|sink is missing"},
        {{"run", "--serial", "type=tape", "k"}, "not 'tape'"},
        {{"run", "--serial", "type=file", "k"}, "needs path"},
        {{"run", "--serial", "type=sink,num=5", "k"}, "num is 1 to 4"},
        {{"run", "--swiotlb", "8", "k"}, "--swiotlb is for a protected VM"},
        {{"run", "--protected-vm", "--swiotlb=0", "k"}, "0 MiB is too little"},
        {{"run", "--protected-vm", "--swiotlb=256", "k"},
         "256 MiB of 256 MiB leave the guest none"},
        {{"run", "--protected-vm", "--protected-vm-without-firmware", "k"}, "one of these options"},
        {{"run", "--protected-vm", "--bios", "k"}, "--bios is not for a protected VM"},
        {{"run", "--deterministic", "-c2", "k"}, "--deterministic is for one processor"},
        {{"run", "--deterministic", "-bdisk", "k"}, "--deterministic has no disks"},
        {{"run", "--deterministic", "--hypervisor=kvm", "k"}, "chooses the hypervisor"},
        {{"info", "--bogus"}, "there is no option --bogus"},
        {{"help", "bogus"}, "there is no command 'bogus'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *words[5] = {0};

        memcpy(words, cases[i].words, sizeof(cases[i].words));
        REQUIRE(command_start(&command, COMMAND_PIPES, words) && command_finish(&command));
        CHECK_INT(command.status, 35);
        CHECK_OUTPUT(cases[i].message);
    }
}

TEST(limits_are_explained)
{
    const char *kernel = WRITE_KERNEL(poweroff);

    REQUIRE(RUN(&command, "run", "-c", "100000", kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("100000 are too many; a machine on ");
    REQUIRE(RUN(&command, "run", "-m", "99999999999", kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("range of its guest-physical addresses");
    /* A host may lend more than it has, and does; but it should be no surprise. */
    REQUIRE(RUN(&command, "run", "-m", "1000000", kernel));
    CHECK_OUTPUT("this host has");
    REQUIRE(RUN(&command, "run", "-m", "1", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("give the guest more (-m)");
    REQUIRE(RUN(&command, "run", "--protected-vm", kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("a machine of x86_64 cannot be protected");
    REQUIRE(RUN(&command, "run", "--protected-vm-with-firmware", kernel, kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("a machine of x86_64 cannot be protected");
}

TEST(files_that_are_no_kernels_are_told)
{
    static uint8_t arm[4096];
    const char *kernel = WRITE_KERNEL(poweroff);
    char path[64];

    snprintf(path, sizeof(path), "%s", kernel);
    REQUIRE(RUN(&command, "run", "/nonexistent"));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("kernel '/nonexistent': No such file or directory");
    REQUIRE(RUN(&command, "run", "/tmp"));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("is a directory");
    REQUIRE(RUN(&command, "run", write_file("empty", "", 0)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("is empty");
    REQUIRE(RUN(&command, "run", write_file("text", "hello\n", 6)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("a text file");
    put(arm + 0x38, 0x644d5241, 4);
    REQUIRE(RUN(&command, "run", write_file("arm", arm, sizeof(arm))));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("an arm64 Image");
    CHECK_INT(truncate(path, 100), 0);
    REQUIRE(RUN(&command, "run", path));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("cut off");
    REQUIRE(RUN(&command, "run", "/proc/self/exe")); /* visor */
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("not a kernel");
}

TEST(a_machine_without_a_device_tree_dumps_none)
{
    const char *tree = in_folder("tree");

    REQUIRE(RUN(&command, "run", "--dump-fdt", tree, WRITE_KERNEL(hang)));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("this machine has no device tree; its guest is told by ACPI");
    CHECK(access(tree, F_OK) != 0);
}

TEST(an_initrd_that_does_not_fit_is_told)
{
    const char *kernel = WRITE_KERNEL(poweroff);

    REQUIRE(RUN(&command, "run", "-m", "16", "-i", make_disk("initrd", 20 << 20), kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("has 20 MiB, but there is room for 14 MiB");
    REQUIRE(RUN(&command, "run", "-m", "16", "-i", "/nonexistent", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("initrd '/nonexistent': No such file or directory");
}

TEST(a_command_line_that_is_too_long_is_told)
{
    static char params[3000];

    memset(params, 'p', sizeof(params) - 1);
    REQUIRE(RUN(&command, "run", "-m", "16", "-p", params, WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("this kernel takes 2047");
}

TEST(hypervisors_that_do_not_work_say_why)
{
    const char *kernel = WRITE_KERNEL(poweroff);

    REQUIRE(RUN(&command, "run", "--hypervisor", "bogus", kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("there is no backend \"bogus\"");
    REQUIRE(RUN(&command, "run", "--hypervisor", "kvm[bogus=1]", kernel));
    CHECK_INT(command.status, 35);
    CHECK_OUTPUT("there is no option \"bogus\"");
    REQUIRE(RUN(&command, "run", "--hypervisor", "kvm[device=/nonexistent]", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("not present on this machine");
    REQUIRE(RUN(&command, "run", "--hypervisor", "kvm[device=/dev/null]", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("/dev/null");
    REQUIRE(RUN(&command, "run", "--hypervisor", "null", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("null opens but runs no guests");
}

TEST(no_permission_on_the_device_is_told_with_the_remedy)
{
    const char *kernel = WRITE_KERNEL(poweroff);
    struct stat status;

    if (geteuid() != 0)
        SKIP("needs root, to become another user");
    if (stat("/dev/kvm", &status) != 0 || (status.st_mode & 6) != 0)
        SKIP("there is no /dev/kvm that is closed to others");
    CHECK_INT(chmod(folder, 0755), 0);
    REQUIRE(START(&command, COMMAND_NOBODY, "run", "--hypervisor", "kvm", kernel));
    REQUIRE(command_finish(&command));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("no permission");
    CHECK(strstr(command.output, "group") != NULL || strstr(command.output, "chgrp") != NULL);
}

TEST(disks_that_cannot_be_used_say_why)
{
    const char *kernel = WRITE_KERNEL(hang);
    static const struct {
        const char *name, *message;
        off_t length;
    } cases[] = {{"empty.img", "is empty", 0}, {"odd.img", "not whole sectors", 1000}};
    static struct command other;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        REQUIRE(RUN(&command, "run", "-m", "16", "-b",
                    block_option(make_disk(cases[i].name, cases[i].length), ""), kernel));
        CHECK_INT(command.status, 1);
        CHECK_OUTPUT(cases[i].message);
    }
    REQUIRE(RUN(&command, "run", "-m", "16", "-b", "path=/nonexistent", kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("/nonexistent: no such file");

    /* A disk has one writer, or any number of readers. */
    make_disk("disk.img", 1 << 20);
    REQUIRE(START(&other, COMMAND_PIPES, "run", "-m", "16", "-b",
                  block_option(in_folder("disk.img"), ""), kernel));
    CHECK(command_expect(&other, NULL, "#"));
    REQUIRE(
        RUN(&command, "run", "-m", "16", "-b", block_option(in_folder("disk.img"), ",ro"), kernel));
    CHECK_INT(command.status, 1);
    CHECK_OUTPUT("in use by another program");
    kill(other.pid, SIGTERM);
    CHECK(command_finish(&other));

    kernel = WRITE_KERNEL(hang);
    REQUIRE(
        START(&other, COMMAND_PIPES, "run", "-m", "16", "--disk", in_folder("disk.img"), kernel));
    CHECK(command_expect(&other, NULL, "#"));
    REQUIRE(RUN(&command, "run", "-m", "16", "-b", block_option(in_folder("disk.img"), ",ro=true"),
                WRITE_KERNEL(poweroff)));
    CHECK_INT(command.status, 0);
    kill(other.pid, SIGTERM);
    CHECK(command_finish(&other));
}

/* ---- the other commands ---- */

TEST(help_and_version_are_there)
{
    REQUIRE(RUN(&command, "--version"));
    CHECK_INT(command.status, 0);
    CHECK_STR(command.output, "visor " VISOR_VERSION_STRING "\n");
    REQUIRE(RUN(&command, "--help"));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("visor run");
    REQUIRE(RUN(&command, "run", "--help"));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("   34  the guest reported a panic");
    CHECK_OUTPUT("--initrd");
    REQUIRE(RUN(&command, "help", "info"));
    CHECK_INT(command.status, 0);
    CHECK_OUTPUT("--json");
}

TEST(info_tells_of_every_backend)
{
    REQUIRE(RUN(&command, "info"));
    CHECK(command.status == 0 || command.status == 1);
    CHECK_OUTPUT("kvm ");
    CHECK_OUTPUT("null ");
    CHECK_OUTPUT("auto");
    REQUIRE(RUN(&command, "info", "--json"));
    CHECK_OUTPUT("\"name\": \"kvm\"");
    CHECK_OUTPUT("\"auto\": ");
}

int main(int argc, char **argv)
{
    return guests_main(argc, argv);
}
