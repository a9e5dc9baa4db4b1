/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine/lines.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int lines_create(struct lines *out, visor_vm *vm, const uint32_t *gsis, size_t count,
                 vmm_error *error)
{
    *out = (struct lines){.vm = vm};
    if (count > LINES_MAX)
        return vmm_fail(error, VISOR_ELIMIT, "%zu interrupt lines are too many", count);
    for (size_t i = 0; i < count; i++) {
        int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int code;

        if (event < 0)
            return vmm_fail(error, VISOR_ESYSTEM, "eventfd: %s", strerror(errno));
        code = visor_vm_add_irq_event(vm, gsis[i], event, VISOR_EVENT_NONE);
        if (code < 0) {
            close(event);
            return vmm_fail_visor(error, code, "cannot connect an interrupt");
        }
        out->line[i].gsi = gsis[i];
        out->line[i].event = event;
        out->count++;
    }
    return 0;
}

void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        (void)visor_vm_remove_irq_event(lines->vm, lines->line[i].gsi, lines->line[i].event);
        close((int)lines->line[i].event);
    }
}

/* Devices tell of every rise, not of the level that it comes to with others on the same line: one
 * that comes while the line is high would otherwise be lost. */
int lines_set_irq(void *context, uint32_t gsi, bool level)
{
    struct lines *lines = context;
    const uint64_t one = 1;

    for (size_t i = 0; i < lines->count && level; i++) {
        if (lines->line[i].gsi != gsi)
            continue;
        /* A counter that is full is signalled; the driver does not read it. */
        while (write((int)lines->line[i].event, &one, sizeof(one)) < 0 && errno == EINTR)
            continue;
    }
    return 0;
}
