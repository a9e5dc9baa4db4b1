/* SPDX-License-Identifier: BSD-3-Clause */
/* Disk images of the host: opening and its errors, locks, access. virtio_test has the device. */
#include "devices/disk.h"

#include "os/os.h"
#include "unit.h"

#define SIZE 65536

static const char path[] = "disk_test.tmp";
static const vmm_host host = {0};

static void make_image(size_t length)
{
    static const uint8_t zeros[SIZE];
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL && fwrite(zeros, 1, length, file) == length && fclose(file) == 0);
}

static bool reads_as(disk *image, uint64_t offset, size_t length, uint8_t value)
{
    uint8_t data[4096] = {0};
    struct iovec iov = {data, length};

    if (length > sizeof(data) || disk_read(image, &iov, 1, offset) != 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (data[i] != value)
            return false;
    }
    return true;
}

static int fill(disk *image, uint64_t offset, size_t length, uint8_t value)
{
    uint8_t data[4096];
    struct iovec iov = {data, length};

    memset(data, value, sizeof(data));
    return disk_write(image, &iov, 1, offset);
}

static int try_open(bool read_only, vmm_error *error)
{
    disk image;
    int code = disk_open(&image, &host, path, read_only, error);

    if (code == 0)
        disk_close(&image);
    return code;
}

TEST(what_is_written_is_read)
{
    uint8_t first[512], second[1024], back[2048] = {0};
    struct iovec out[] = {{first, sizeof(first)}, {NULL, 0}, {second, sizeof(second)}};
    struct iovec in[] = {{back, 100}, {back + 100, sizeof(back) - 100}};
    vmm_error error;
    disk image;

    memset(first, 1, sizeof(first));
    memset(second, 2, sizeof(second));
    make_image(SIZE);
    REQUIRE(disk_open(&image, &host, path, false, &error) == 0);
    CHECK_INT(image.length, SIZE);
    CHECK_INT(disk_write(&image, out, 3, 4096), 0);
    CHECK_INT(disk_flush(&image), 0);
    CHECK_INT(disk_read(&image, in, 2, 4096), 0);
    CHECK(memcmp(back, first, sizeof(first)) == 0);
    CHECK(memcmp(back + sizeof(first), second, sizeof(second)) == 0);
    CHECK_INT(back[1536], 0);
    disk_close(&image);

    /* Also by who opens it later. */
    REQUIRE(disk_open(&image, &host, path, true, &error) == 0);
    CHECK(reads_as(&image, 4096, 512, 1));
    CHECK(reads_as(&image, 4608, 1024, 2));
    CHECK(reads_as(&image, 0, 4096, 0));
    CHECK(fill(&image, 0, 512, 3) < 0);
    CHECK_INT(disk_flush(&image), 0);
    CHECK(!reads_as(&image, SIZE - 512, 1024, 0)); /* past the end */
    disk_close(&image);
    CHECK(remove(path) == 0);
}

TEST(ranges_become_zeros)
{
    vmm_error error;
    disk image;

    make_image(SIZE);
    REQUIRE(disk_open(&image, &host, path, false, &error) == 0);
    for (uint64_t at = 0; at < SIZE; at += 4096)
        CHECK_INT(fill(&image, at, 4096, 5), 0);
    CHECK_INT(disk_zero(&image, 4096, 8192, false), 0);
    CHECK_INT(disk_zero(&image, 16384, 4096, true), 0);
    CHECK_INT(disk_discard(&image, 32768, 4096), 0);
    CHECK(reads_as(&image, 0, 4096, 5));
    CHECK(reads_as(&image, 4096, 4096, 0) && reads_as(&image, 8192, 4096, 0));
    CHECK(reads_as(&image, 12288, 4096, 5));
    CHECK(reads_as(&image, 16384, 4096, 0));
    CHECK(reads_as(&image, 20480, 4096, 5));
    CHECK_INT(disk_flush(&image), 0);
    disk_close(&image);
    CHECK(remove(path) == 0);
}

/* A file with nothing on the host's disk but what is written to it. */
static bool make_sparse_image(uint64_t length)
{
    vmm_error error;
    disk image;
    FILE *file;

    _Static_assert(sizeof(off_t) == 8, "files are long");
    make_image(SIZE);
    if (!CHECK_INT(disk_open(&image, &host, path, false, &error), 0))
        return false;
    disk_discard(&image, 0, SIZE); /* after which Windows leaves out what is not written, too */
    disk_close(&image);
    file = fopen(path, "r+b");
    return CHECK(file != NULL && fseeko(file, (off_t)length - 1, SEEK_SET) == 0 &&
                 fputc(0, file) == 0 && fclose(file) == 0);
}

TEST(places_beyond_4_gib_are_not_those_below)
{
    const uint64_t beyond = (uint64_t)1 << 32;
    vmm_error error;
    disk image;

    REQUIRE(make_sparse_image(beyond + SIZE));
    REQUIRE(disk_open(&image, &host, path, false, &error) == 0);
    CHECK_INT(image.length, beyond + SIZE);
    CHECK_INT(fill(&image, beyond + 512, 512, 7), 0);
    CHECK(reads_as(&image, beyond + 512, 512, 7));
    CHECK(reads_as(&image, 512, 512, 0));
    CHECK_INT(fill(&image, 0, 4096, 5), 0);
    CHECK(reads_as(&image, beyond + 512, 512, 7));
    CHECK_INT(disk_zero(&image, beyond, 4096, true), 0);
    CHECK(reads_as(&image, beyond, 4096, 0));
    CHECK(reads_as(&image, 0, 4096, 5));
    disk_close(&image);
    CHECK(remove(path) == 0);
}

TEST(a_disk_has_one_writer_or_any_number_of_readers)
{
    vmm_error error;
    disk image;

    make_image(SIZE);
    REQUIRE(disk_open(&image, &host, path, false, &error) == 0);
    CHECK_INT(try_open(false, &error), VISOR_EBUSY);
    CHECK_INT(try_open(true, &error), VISOR_EBUSY);
    CHECK(strstr(error.text, "in use by another program") != NULL);
    disk_close(&image);
    REQUIRE(disk_open(&image, &host, path, true, &error) == 0);
    CHECK_INT(try_open(true, &error), 0);
    CHECK_INT(try_open(false, &error), VISOR_EBUSY);
    disk_close(&image);
    CHECK_INT(try_open(false, &error), 0);
    CHECK(remove(path) == 0);
}

TEST(what_is_no_image_is_told)
{
    vmm_error error;
    disk image;

    CHECK_INT(disk_open(&image, &host, "nowhere/disk.img", false, &error), VISOR_ENOENT);
    CHECK(strstr(error.text, "nowhere/disk.img: no such file") != NULL);
    CHECK_INT(disk_open(&image, &host, ".", true, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "is a directory, not a disk image") != NULL);
    make_image(0);
    CHECK_INT(try_open(false, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "is empty") != NULL);
    make_image(1000);
    CHECK_INT(try_open(true, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "not whole sectors") != NULL);
    CHECK(remove(path) == 0);
}

UNIT_MAIN()
