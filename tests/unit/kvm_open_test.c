/* SPDX-License-Identifier: BSD-3-Clause */
/* Why KVM cannot be opened: each reason has an answer of its own. Needs no KVM. */
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <visor.h>

#include "unit.h"

static int open_path(const char *path)
{
    visor_hypervisor *hv = NULL;
    char spec[160];
    int ret;

    snprintf(spec, sizeof(spec), "kvm[device=%s]", path);
    ret = visor_hypervisor_open(&hv, spec);
    visor_hypervisor_free(hv);
    return ret;
}

TEST(absent_node)
{
    CHECK_INT(open_path("/nonexistent/kvm"), VISOR_EABSENT);
    CHECK_STR(visor_error_last()->operation, "open");
    CHECK(strstr(visor_error_last()->hint, "modprobe") != NULL);
}

TEST(not_a_kvm)
{
    CHECK_INT(open_path("/dev/null"), VISOR_EBROKEN);
    CHECK_STR(visor_error_last()->operation, "KVM_GET_API_VERSION");
    CHECK(strstr(visor_error_last()->detail, "/dev/null is not KVM") != NULL);
}

/* Opens `path` as a user that may not, in a child; the answers come back as its status. */
static int open_as_nobody(const char *path, const char *hint)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        int answer = 0;

        if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
            _exit(99);
        if (open_path(path) != VISOR_EACCESS)
            answer |= 1;
        if (strstr(visor_error_last()->hint, hint) == NULL)
            answer |= 2;
        if (answer != 0)
            printf("# hint: %s\n", visor_error_last()->hint);
        fflush(stdout);
        _exit(answer);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(no_permission)
{
    char path[] = "/tmp/visor-kvm-open-XXXXXX";
    int fd;

    if (geteuid() != 0)
        SKIP("only root can give a file to another group");
    fd = mkstemp(path);
    REQUIRE(fd >= 0);
    /* Group 1 is "daemon" in the base of Debian, Fedora, Arch and Alpine alike. */
    if (getgrgid(1) != NULL && fchown(fd, 0, 1) == 0 && fchmod(fd, 0660) == 0) {
        char hint[64];

        snprintf(hint, sizeof(hint), "usermod -aG %s", getgrgid(1)->gr_name);
        CHECK_INT(open_as_nobody(path, hint), 0);
    }
    CHECK_INT(fchown(fd, 0, 54321), 0);
    CHECK_INT(fchmod(fd, 0660), 0);
    CHECK_INT(open_as_nobody(path, "group number 54321"), 0);
    CHECK_INT(fchmod(fd, 0600), 0);
    CHECK_INT(open_as_nobody(path, "only its owner"), 0);
    close(fd);
    unlink(path);
}

TEST(kick_signal)
{
    visor_hypervisor *hv = NULL;

    CHECK_INT(visor_hypervisor_open(&hv, "kvm[signal=9]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "kvm[signal=0]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "kvm[signal=1000]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "kvm[signal=RT]"), VISOR_EINVAL);
}

UNIT_MAIN()
