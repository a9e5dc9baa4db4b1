/* SPDX-License-Identifier: BSD-3-Clause */
/* The same work through libvisor. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <visor.h>

#include "bench.h"

struct side {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    uint32_t slot;
};

static void side_close(struct side *side)
{
    visor_vcpu_free(side->vcpu);
    visor_vm_free(side->vm);
    visor_memory_free(side->memory);
    visor_hypervisor_free(side->hv);
}

static bool add_dirty_slot(struct side *side)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;

    config.gpa = BENCH_DIRTY_GPA;
    config.log_dirty = true;
    if (visor_mapping_create(&mapping, BENCH_DIRTY_SIZE) < 0)
        return false;
    if (visor_vm_add_slot(&side->slot, side->vm, mapping, &config) < 0) {
        visor_mapping_free(mapping);
        return false;
    }
    return true;
}

static bool side_open(struct side *side, const struct bench_guest *guest, bool dirty)
{
    const visor_memory_region ram = {.length = BENCH_RAM};

    *side = (struct side){0};
    if (visor_hypervisor_open(&side->hv, "kvm") < 0 ||
        visor_memory_create(&side->memory, &ram, 1, NULL) < 0 ||
        visor_memory_write(side->memory, BENCH_CODE_GPA, guest->code, guest->length) < 0 ||
        visor_vm_create(&side->vm, side->hv, side->memory, NULL) < 0 ||
        !bench_visor_configure(side->vm) || (dirty && !add_dirty_slot(side)) ||
        visor_vcpu_create(&side->vcpu, side->vm, 0) < 0)
        return false;
    return bench_visor_start(side->vcpu, guest);
}

/* The reason that the guest of a row leaves for. */
static int reason_of(enum bench_row row)
{
    return bench_is_mmio(row) ? VISOR_EXIT_MMIO : VISOR_EXIT_IO;
}

static bool dirty_once(struct side *side, uint64_t *bitmap, size_t capacity, double *took)
{
    double start;
    bool done;

    if (visor_vcpu_run(side->vcpu) != reason_of(BENCH_DIRTY))
        return false;
    start = bench_now();
    done = visor_vm_dirty_log(bitmap, capacity, side->vm, side->slot) == 0;
    *took += bench_now() - start;
    return done && bitmap[0] != 0;
}

static double work(struct side *side, enum bench_row row, unsigned count)
{
    static uint64_t bitmap[BENCH_DIRTY_SIZE / 4096 / 64];
    int reason = reason_of(row);
    double start, took = 0;
    bool good = row == BENCH_DIRTY || visor_vcpu_run(side->vcpu) == reason;

    start = bench_now();
    for (unsigned i = 0; good && i < count; i++) {
        if (row == BENCH_REGS)
            good = visor_vcpu_run(side->vcpu) == reason && bench_visor_regs(side->vcpu);
        else if (row == BENCH_DIRTY)
            good = dirty_once(side, bitmap, sizeof(bitmap), &took);
        else
            good = visor_vcpu_run(side->vcpu) == reason;
    }
    if (!good)
        return -1;
    return row == BENCH_DIRTY ? took : bench_now() - start;
}

static double visor_run(enum bench_row row, unsigned count)
{
    const struct bench_guest *guest = bench_guest(row);
    struct side side;
    char text[512];
    double took;

    if (row == BENCH_CREATE) {
        double start = bench_now();

        for (unsigned i = 0; i < count; i++) {
            bool good =
                side_open(&side, guest, false) && visor_vcpu_run(side.vcpu) == reason_of(row);

            side_close(&side);
            if (!good)
                return -1;
        }
        return bench_now() - start;
    }
    took = side_open(&side, guest, row == BENCH_DIRTY) ? work(&side, row, count) : -1;
    if (took < 0) {
        visor_error_format(text, sizeof(text));
        fprintf(stderr, "visor: %s\n", text);
    }
    side_close(&side);
    return took;
}

const struct bench_side bench_visor = {"visor", visor_run};
