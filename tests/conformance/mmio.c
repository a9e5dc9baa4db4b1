/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory-mapped I/O: accesses to memory that is not there. The same on every architecture. */
#include "guest.h"

CASE(mmio, widths, "1, 2, 4 and 8 bytes, both directions")
{
    const uint64_t value = 0x8796a5b4c3d2e1f0u;

    guest_start(g, guest_store[0], guest_hole, value, 0, NULL);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t mask = i == 3 ? ~0ull : (1ull << 8 * guest_widths[i]) - 1;

        guest_restart(g, g->vcpu, guest_store[i], guest_hole + 8 * i, value, 0);
        RUN_TO_MMIO_WRITE(g, guest_hole + 8 * i, guest_widths[i], value & mask);
        GUEST_FINISH(g);
        guest_restart(g, g->vcpu, guest_load[i], guest_hole + 64 + 8 * i, 0, 0);
        RUN_TO_MMIO_READ(g, guest_hole + 64 + 8 * i, guest_widths[i], value & mask);
        CHECK_EQ(GUEST_FINISH(g), value & mask);
    }
}

CASE(mmio, unanswered_read, "an MMIO read that nobody answers reads as zero")
{
    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    RUN_TO(g, MMIO);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

CASE(mmio, far_address, "addresses above 4 GiB")
{
    const uint64_t gpa = 0x100001238u;

    guest_start(g, guest_store[3], gpa, 0x1122334455667788u, 0, NULL);
    guest_restart(g, g->vcpu, guest_store[3], guest_arch_far(g, gpa), 0x1122334455667788u, 0);
    RUN_TO_MMIO_WRITE(g, gpa, 8, 0x1122334455667788u);
    GUEST_FINISH(g);
}
