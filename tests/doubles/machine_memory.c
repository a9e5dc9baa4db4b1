/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: slots of KVM, and memory that the program has lent. */
#include "double.h"
#include "machine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* The mapping that holds address; false: none. */
static bool find_mapping(uint64_t address, uint64_t *start, uint64_t *end, char access[5])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    if (maps == NULL)
        double_die("no /proc/self/maps: %s", strerror(errno));
    while (!found && fgets(line, sizeof(line), maps) != NULL)
        found = sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", start, end, access) == 3 &&
                address >= *start && address < *end;
    fclose(maps);
    return found;
}

uint64_t mapping_size(uint64_t address)
{
    uint64_t start, end;
    char access[5];

    return find_mapping(address, &start, &end, access) ? end - start : 0;
}

static int set_region(struct machine *machine, unsigned slot, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = machine->slots[slot].is_readonly ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = machine->slots[slot].gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };

    return ioctl(machine->kvm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static void give_back(struct machine_slot *slot)
{
    uint64_t start, end;
    char access[5];
    void *host = (void *)(uintptr_t)slot->host;

    if (slot->lent == NULL)
        return;
    /* The program may have unmapped what it had no use for, and may have something else there. */
    if (find_mapping(slot->host, &start, &end, access) && start <= slot->host &&
        end >= slot->host + slot->size && strncmp(access, "---", 3) == 0) {
        if (mremap(slot->lent, slot->size, slot->size, MREMAP_MAYMOVE | MREMAP_FIXED, host) ==
            MAP_FAILED)
            double_die("lent memory cannot be given back: %s", strerror(errno));
    } else {
        munmap(slot->lent, slot->size);
    }
    slot->lent = NULL;
}

int machine_set_slot(struct machine *machine, unsigned slot, uint64_t gpa, uint64_t size,
                     uint64_t host, bool is_readonly)
{
    struct machine_slot *place = &machine->slots[slot];
    int ret;

    if (place->is_used) {
        ret = set_region(machine, slot, 0, NULL);
        if (ret < 0)
            return ret;
        give_back(place);
    }
    *place = (struct machine_slot){
        .gpa = gpa,
        .size = size,
        .host = host,
        .is_readonly = is_readonly,
    };
    ret = set_region(machine, slot, size, (void *)(uintptr_t)host);
    place->is_used = ret == 0;
    return ret;
}

void machine_remove_slot(struct machine *machine, unsigned slot)
{
    give_back(&machine->slots[slot]);
    machine->slots[slot].is_used = false;
}

/* The pages move to another address; what stays behind is an empty mapping without access. */
int machine_lend(struct machine *machine, unsigned slot)
{
    struct machine_slot *place = &machine->slots[slot];
    void *host = (void *)(uintptr_t)place->host;
    int ret;

    if (place->lent != NULL)
        return 0;
    ret = set_region(machine, slot, 0, NULL);
    if (ret < 0)
        return ret;
    place->lent = mremap(host, place->size, place->size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    if (place->lent == MAP_FAILED || mprotect(host, place->size, PROT_NONE) < 0)
        double_die("memory cannot be lent: %s", strerror(errno));
    return set_region(machine, slot, place->size, place->lent);
}

const struct machine_slot *machine_slot_of(const struct machine *machine, uint64_t gpa,
                                           uint64_t size)
{
    for (size_t i = 0; i < MACHINE_SLOTS; i++) {
        const struct machine_slot *slot = &machine->slots[i];

        if (slot->is_used && gpa >= slot->gpa && size <= slot->size &&
            gpa - slot->gpa <= slot->size - size)
            return slot;
    }
    return NULL;
}

static unsigned char *pointer_to(const struct machine *machine, uint64_t gpa, uint64_t size)
{
    const struct machine_slot *slot = machine_slot_of(machine, gpa, size);

    if (slot == NULL)
        return NULL;
    return (unsigned char *)(slot->lent != NULL ? slot->lent : (void *)(uintptr_t)slot->host) +
           (gpa - slot->gpa);
}

int machine_read(struct machine *machine, uint64_t gpa, void *out, uint64_t size)
{
    const unsigned char *from = pointer_to(machine, gpa, size);

    return from == NULL ? -EFAULT : copy_from_user(out, (uintptr_t)from, size);
}

int machine_write(struct machine *machine, uint64_t gpa, const void *data, uint64_t size)
{
    unsigned char *to = pointer_to(machine, gpa, size);

    return to == NULL ? -EFAULT : copy_to_user((uintptr_t)to, data, size);
}
