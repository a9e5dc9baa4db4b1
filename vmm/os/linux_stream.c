/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams are file descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/os.h"

struct vmm_input {
    int fd;
};

int vmm_file_create(visor_file *out, const char *path, vmm_error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "file '%s': %s", path, strerror(errno));
    *out = fd;
    return 0;
}

int vmm_socket_connect(visor_file *out, const char *path, vmm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, code;

    if (strlen(path) >= sizeof(address.sun_path))
        return vmm_fail(error, VISOR_EINVAL, "socket path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        *out = fd;
        return 0;
    }
    code = vmm_fail(error, VISOR_ESYSTEM,
                    "cannot connect to socket '%s': %s (something has to listen there, say: "
                    "socat - UNIX-LISTEN:%s)",
                    path, strerror(errno), path);
    if (fd >= 0)
        close(fd);
    return code;
}

void vmm_file_close(visor_file file)
{
    if (file != VISOR_FILE_NONE)
        close((int)file);
}

/* ---- writing ---- */

/* The only place where the thread may be cancelled. */
ptrdiff_t vmm_write(visor_file file, const uint8_t *data, size_t length)
{
    struct pollfd pollfd = {.fd = (int)file, .events = POLLOUT};
    ssize_t written;
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    written = write((int)file, data, length);
    if (written < 0 && errno == EAGAIN) {
        /* someone else made the descriptor non-blocking */
        poll(&pollfd, 1, -1);
        written = 0;
    } else if (written < 0) {
        written = errno == EINTR ? 0 : -errno;
    }
    pthread_setcancelstate(old, &old);
    return written;
}

void vmm_writer_begin(void)
{
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
}

void vmm_writer_end(pthread_t thread)
{
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

/* ---- reading: the descriptor itself is what is waited for ---- */

int vmm_input_create(vmm_input **out, visor_file file, vmm_error *error)
{
    vmm_input *input = malloc(sizeof(*input));

    if (input == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    input->fd = (int)file;
    *out = input;
    return 0;
}

void vmm_input_free(vmm_input *input)
{
    free(input);
}

visor_event vmm_input_event(const vmm_input *input)
{
    return input->fd;
}

ptrdiff_t vmm_input_read(vmm_input *input, uint8_t *out, size_t capacity)
{
    ssize_t got = read(input->fd, out, capacity);

    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? -1 : 0;
    return got;
}
