/* SPDX-License-Identifier: BSD-3-Clause */
/* Disk images of POSIX that are full, cut short, not ours to write, or no files. */
#include "virtio_rig.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A write past RLIMIT_FSIZE fails as one on a full disk does, except that it also sends SIGXFSZ,
 * whose default is death. */
static void full_disk(void)
{
    struct rlimit limit = {.rlim_cur = MIB / 2, .rlim_max = MIB / 2};
    struct rig rig;

    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    fill(&rig, 4096, 3);
    CHECK_INT(request(&rig, OUT, 0, 4096), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK_INT(request(&rig, OUT, MIB / 512 / 2, 4096), 1);
    CHECK_INT(rig.fake.logs, 1);
    CHECK(strstr(rig.fake.log, image_path) && strstr(rig.fake.log, "write"));
    for (unsigned i = 0; i < 50; i++)
        CHECK_INT(request(&rig, OUT, MIB / 512 / 2, 512), 1);
    CHECK_INT(rig.fake.logs, 10);
    CHECK_INT(request(&rig, OUT, 8, 4096), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK(image_has(0, 4096, 3));
    CHECK(image_has(4096, 4096, 3));
    rig_free(&rig);
}

TEST(blk_full_disk_is_an_io_error_and_loses_nothing)
{
    int status;
    pid_t child;

    REQUIRE(make_image(MIB));
    fflush(stdout);
    child = fork(); /* the limit stays in there */
    REQUIRE(child >= 0);
    if (child == 0) {
        full_disk();
        fflush(stdout);
        _exit(atomic_load(&unit_failed));
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    unlink(image_path);
}

TEST(blk_file_cut_short_is_an_io_error)
{
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    CHECK(truncate(image_path, MIB / 2) == 0);
    CHECK_INT(request(&rig, IN, MIB / 512 / 2, 512), 1);
    CHECK_INT(request(&rig, IN, 0, 512), 0);
    rig_free(&rig);
    unlink(image_path);
}

TEST(blk_file_without_write_permission_wants_ro)
{
    vmm_error error;
    bool root = geteuid() == 0;

    REQUIRE(make_image(MIB));
    CHECK(chmod(image_path, 0444) == 0);
    if (root)
        REQUIRE(seteuid(65534) == 0); /* root may write anything */
    CHECK_INT(try_open(image_path, false, &error), VISOR_EACCESS);
    CHECK(strstr(error.text, "ro=true"));
    CHECK_OK(try_open(image_path, true, &error));
    if (root)
        REQUIRE(seteuid(0) == 0);
    CHECK(chmod(image_path, 0) == 0);
    if (!root)
        CHECK_INT(try_open(image_path, true, &error), VISOR_EACCESS);
    unlink(image_path);
}

TEST(blk_takes_no_pipe_for_an_image)
{
    vmm_error error;

    REQUIRE(make_path(image_path) && unlink(image_path) == 0);
    CHECK(mkfifo(image_path, 0600) == 0);
    CHECK_INT(try_open(image_path, true, &error), VISOR_EFORMAT);
    unlink(image_path);
}

UNIT_MAIN()
