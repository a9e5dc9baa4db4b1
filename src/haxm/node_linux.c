/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver on Linux. Its module is not part of any distribution. */
#include <haxm.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "haxm/node.h"
#include "linux/kick.h"

const visor_native haxm_native = VISOR_NATIVE_ERRNO;
const int haxm_error_broken = EIO;
/* It counts them, and does not copy the count back. */
const bool haxm_tells_msrs_set = false;
/* 32 entries are refused. */
const unsigned haxm_msrs_most = HAX_MAX_MSR_ARRAY - 1;

const struct visor__option haxm_options[] = {
    {"device", "path of the device node"},
    VISOR__LINUX_OPTION_SIGNAL,
    {NULL, NULL},
};

static const struct {
    unsigned long number;
    const char *name;
} requests[] = {
#define REQUEST(id, name) [HAXM_##id] = {name, #name},
    HAXM_REQUESTS(REQUEST)
#undef REQUEST
};

/* ---- nodes ---- */

static int open_node(struct haxm_node *out, const char *path)
{
    const struct visor__linux_node node = {
        .backend = "haxm",
        .path = path,
        .absent = "load the module haxm of Intel's HAXM 7.8.0; distributions do not have it",
        .no_driver = "load the module haxm again, and see dmesg for what it says",
        .owner_only = "run this as root, or chmod the node",
    };
    int fd;
    int ret = visor__linux_open(&fd, &node);

    if (ret == 0)
        out->handle = fd;
    return ret;
}

int haxm_open_device(struct haxm_node *out, visor_hypervisor *hv)
{
    const char *path = visor__option_get(hv, "device");

    return open_node(out, path != NULL ? path : HAX_DEVICE_LINUX);
}

/* The node of something new may be a moment late: udev makes it. */
static int open_new(struct haxm_node *out, const char *path)
{
    int ret;

    for (unsigned attempt = 0;; attempt++) {
        ret = open_node(out, path);
        if ((ret != VISOR_EABSENT && ret != VISOR_EACCESS) || attempt == 1000)
            return ret;
        visor__os_pause(attempt);
    }
}

int haxm_open_vm(struct haxm_node *out, const struct haxm_node *device, uint32_t vm)
{
    char path[64];

    (void)device;
    snprintf(path, sizeof(path), HAX_VM_LINUX, vm);
    return open_new(out, path);
}

int haxm_open_vcpu(struct haxm_node *out, const struct haxm_node *device, uint32_t vm,
                   uint32_t vcpu)
{
    char path[64];

    (void)device;
    snprintf(path, sizeof(path), HAX_VCPU_LINUX, vm, vcpu);
    return open_new(out, path);
}

void haxm_close(struct haxm_node *node)
{
    close((int)node->handle);
}

/* ---- requests ---- */

/* What returns something else than 0 has failed; 1 is an instruction that could not be emulated. */
static int finish(int result)
{
    return result < 0 ? -result : result > 0 ? EIO : 0;
}

int haxm_call(const struct haxm_node *node, enum haxm_request request, void *data, size_t size)
{
    uintptr_t argument = (uintptr_t)data;

    (void)size; /* it is in the number, or at the start of the data */
    if (request == HAXM_SET_CPUID || request == HAXM_GET_CPUID)
        argument = (uintptr_t)&data;
    return finish(visor__linux_ioctl((int)node->handle, requests[request].number, argument));
}

int haxm_error_code(int native)
{
    return native == ENODEV ? VISOR_EBROKEN : visor__linux_code(native);
}

const char *haxm_request_name(enum haxm_request request)
{
    return requests[request].name;
}

/* ---- runs ---- */

/*
 * The driver looks at no signal, but an interrupt of the host ends each run, and that is how the
 * kernel tells a thread of one: it is let through for the time of a run only, and met by a handler
 * that does nothing.
 */
struct haxm_kick {
    struct visor__linux_kick linux_kick;
    sigset_t mask; /* while the guest runs */
};

int haxm_kick_create(struct haxm_kick **out, visor_hypervisor *hv, uint32_t *leave_mark)
{
    struct haxm_kick *kick = calloc(1, sizeof(*kick));
    int ret;

    if (kick == NULL)
        return visor__error(VISOR_ENOMEM, "haxm", "visor_vcpu_create", "no memory");
    /* The driver tests and clears its lowest bit; the processor is a little-endian one. */
    kick->linux_kick.immediate_exit = (uint8_t *)leave_mark;
    ret = visor__linux_kick_signal(&kick->linux_kick.signal, hv);
    if (ret == 0)
        ret = visor__linux_kick_handle(kick->linux_kick.signal, "haxm");
    if (ret < 0) {
        free(kick);
        return ret;
    }
    *out = kick;
    return 0;
}

void haxm_kick_destroy(struct haxm_kick *kick)
{
    free(kick);
}

int haxm_kick_adopt(struct haxm_kick *kick)
{
    int ret = visor__linux_kick_adopt(&kick->linux_kick, "haxm", &kick->mask);

    if (ret <= 0)
        return ret;
    visor__linux_kick_adopted(&kick->linux_kick);
    return 0;
}

void haxm_kick_reset(struct haxm_kick *kick)
{
    visor__linux_kick_reset(&kick->linux_kick);
}

void haxm_kick_drop(struct haxm_kick *kick)
{
    visor__linux_kick_drop(&kick->linux_kick, false);
}

void haxm_kick_forget(struct haxm_kick *kick)
{
    visor__linux_kick_forget_thread(&kick->linux_kick);
}

void haxm_kick(struct haxm_kick *kick, const struct haxm_node *node)
{
    (void)node;
    visor__linux_kick(&kick->linux_kick);
}

int haxm_run(const struct haxm_node *node, struct haxm_kick *kick)
{
    sigset_t before;
    int result;

    pthread_sigmask(SIG_SETMASK, &kick->mask, &before);
    result = visor__linux_ioctl((int)node->handle, requests[HAXM_RUN].number, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return finish(result);
}
