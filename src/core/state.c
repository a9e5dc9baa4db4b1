/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and setting state piece by piece: the tables of state.h made usable. */
#include "core/state.h"

#include <stdlib.h>
#include <string.h>

#include "core/aarch64.h"
#include "core/backend.h"
#include "core/riscv.h"
#include "core/vm.h"
#include "core/x86.h"

#define COMMON(name_, type, variable_, save_, restore_)                             \
    .name = #name_, .size = sizeof(type), .variable = (variable_), .save = (save_), \
    .restore = (restore_)
const struct visor__state_info visor__states[VISOR__STATE_COUNT] = {
#define INFO(id, name, ...)               \
    [VISOR__STATE_##id] = {               \
        COMMON(name, __VA_ARGS__),        \
        .arch = VISOR_ARCH_X86_64,        \
        .reset = visor__reset_x86_##name, \
        .dump = visor__dump_x86_##name,   \
    },
    VISOR__X86_STATES(INFO)
#undef INFO
#define INFO(id, name, ...)                 \
    [VISOR__STATE_##id] = {                 \
        COMMON(name, __VA_ARGS__),          \
        .arch = VISOR_ARCH_AARCH64,         \
        .dump = visor__dump_aarch64_##name, \
    },
        VISOR__AARCH64_STATES(INFO)
#undef INFO
#define INFO(id, name, ...)                 \
    [VISOR__STATE_##id] = {                 \
        COMMON(name, __VA_ARGS__),          \
        .arch = VISOR_ARCH_RISCV64,         \
        .reset = visor__reset_riscv_##name, \
        .dump = visor__dump_riscv_##name,   \
    },
            VISOR__RISCV_STATES(INFO)
#undef INFO
};
#undef COMMON

const struct visor__vm_state_info visor__vm_states[VISOR__VM_STATE_COUNT] = {
#define INFO(id, name_, type, variable_, late_) \
    [VISOR__VM_STATE_##                         \
        id] = {.name = #name_, .size = sizeof(type), .variable = (variable_), .late = (late_)},
    VISOR__VM_STATES(INFO)
#undef INFO
};

enum visor__state visor__state_by_name(visor_arch arch, const char *name)
{
    unsigned piece = 0;

    while (piece < VISOR__STATE_COUNT &&
           (visor__states[piece].arch != arch || strcmp(visor__states[piece].name, name) != 0))
        piece++;
    return (enum visor__state)piece;
}

enum visor__state visor__state_by_save(visor_arch arch, unsigned rank)
{
    unsigned piece = 0;

    while (piece < VISOR__STATE_COUNT &&
           (visor__states[piece].arch != arch || visor__states[piece].save != rank))
        piece++;
    return (enum visor__state)piece;
}

enum visor__state visor__state_by_restore(visor_arch arch, unsigned rank)
{
    unsigned piece = 0;

    while (piece < VISOR__STATE_COUNT &&
           (visor__states[piece].arch != arch || visor__states[piece].restore != rank))
        piece++;
    return (enum visor__state)piece;
}

/* ---- vCPU ---- */

int visor__state_get(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    int ret;

    if (vcpu->vm->hv->backend->vcpu->get_state == NULL)
        return visor__unsupported(vcpu->vm->hv, visor__states[piece].name,
                                  "registers can be set, but not read");
    if (piece != VISOR__STATE_X86_MSRS)
        return vcpu->vm->hv->backend->vcpu->get_state(buf, capacity, vcpu, piece);
    ret = visor_x86_get_all_msrs(buf, capacity / sizeof(visor_x86_msr), vcpu);
    return ret < 0 ? ret : ret * (int)sizeof(visor_x86_msr);
}

int visor__state_read(void **out, visor_vcpu *vcpu, enum visor__state piece)
{
    int capacity = visor__state_get(NULL, 0, vcpu, piece);
    void *value;
    int length;

    *out = NULL;
    if (capacity <= 0)
        return capacity;
    value = calloc(1, (size_t)capacity);
    if (value == NULL)
        return visor__error(VISOR_ENOMEM, "", visor__states[piece].name, "%d bytes", capacity);
    length = visor__state_get(value, (size_t)capacity, vcpu, piece);
    /* A piece that became larger meanwhile was not copied (nested state, if the guest runs). */
    if (length > capacity)
        length = visor__error(VISOR_ESTATE, "", visor__states[piece].name,
                              "it changes while it is read");
    if (length <= 0) {
        free(value);
        return length;
    }
    *out = value;
    return length;
}

/* Refuses what no backend should meet. */
static int check_value(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t length)
{
    const struct visor__state_info *info = &visor__states[piece];

    if (info->variable ? length % info->size != 0 : length != info->size)
        return visor__error(VISOR_EMISMATCH, "", info->name, "%zu bytes; %s%zu wanted", length,
                            info->variable ? "a multiple of " : "", info->size);
    if (piece == VISOR__STATE_X86_XSAVE) {
        int64_t size = visor_vm_cap(vcpu->vm, VISOR_CAP_X86_XSAVE_SIZE);

        if ((int64_t)length != size)
            return visor__error(VISOR_EMISMATCH, "", info->name,
                                "an image of %zu bytes; this vCPU has %lld", length,
                                (long long)size);
    }
    if (value == NULL) /* an empty piece */
        return 0;
    if (strcmp(info->name, "mp_state") == 0) {
        uint32_t state;

        memcpy(&state, value, sizeof(state));
        if (state > VISOR_MP_STOPPED)
            return visor__error(VISOR_EINVAL, "", info->name, "there is no state %u", state);
    }
    if (piece == VISOR__STATE_X86_XCRS) {
        const visor_x86_xcrs *xcrs = value;
        size_t most = sizeof(xcrs->xcr) / sizeof(xcrs->xcr[0]);

        if (xcrs->count > most)
            return visor__error(VISOR_EINVAL, "", info->name, "%u registers; at most %zu exist",
                                xcrs->count, most);
    }
    return 0;
}

/* Whether the vCPU's piece is bytewise what is wanted. */
static bool is_set_already(visor_vcpu *vcpu, enum visor__state piece, const void *value,
                           size_t length)
{
    void *present;
    int present_length = visor__state_read(&present, vcpu, piece);
    bool same = present_length >= 0 && (size_t)present_length == length &&
                (present == NULL || memcmp(present, value, length) == 0);

    free(present);
    return same;
}

int visor__state_set(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t length,
                     const struct visor__printer *notes)
{
    int ret = check_value(vcpu, piece, value, length);

    if (ret < 0)
        return ret;
    if (piece == VISOR__STATE_X86_MSRS)
        return visor__x86_restore_msrs(vcpu, value, length / sizeof(visor_x86_msr), notes);
    /* A vCPU that has run, or a backend that fixes CPUID at creation, takes no new one. */
    if (piece == VISOR__STATE_X86_CPUID && is_set_already(vcpu, piece, value, length))
        return 0;
    return vcpu->vm->hv->backend->vcpu->set_state(vcpu, piece, value, length);
}

int visor__state_abandon(visor_vcpu *vcpu)
{
    int ret;

    do {
        ret = visor_vcpu_settle(vcpu);
    } while (ret > VISOR_EXIT_NONE);
    if (ret == 0 && vcpu->vm->config.arch == VISOR_ARCH_X86_64 &&
        visor_vm_cap(vcpu->vm, VISOR_CAP_X86_NESTED_STATE_SIZE) > 0)
        ret = visor__state_set(vcpu, VISOR__STATE_X86_NESTED, NULL, 0, NULL);
    return ret;
}

/* Every architecture has one, the same. */
static enum visor__state mp_state_of(const visor_vcpu *vcpu)
{
    return visor__state_by_name(vcpu->vm->config.arch, "mp_state");
}

int visor_vcpu_get_mp_state(visor_mp_state *out, visor_vcpu *vcpu)
{
    uint32_t state;
    int ret = visor__state_get(&state, sizeof(state), vcpu, mp_state_of(vcpu));

    if (ret < 0)
        return ret;
    *out = (visor_mp_state)state;
    return 0;
}

int visor_vcpu_set_mp_state(visor_vcpu *vcpu, visor_mp_state state)
{
    const uint32_t value = (uint32_t)state;

    return visor__state_set(vcpu, mp_state_of(vcpu), &value, sizeof(value), NULL);
}

/* ---- VM ---- */

/* Whether the VM has this piece at all, in the hypervisor or in the core. */
static int check_vm_piece(const visor_vm *vm, enum visor__vm_state piece)
{
    const char *name = visor__vm_states[piece].name;
    bool has = true;

    switch (piece) {
    case VISOR__VM_STATE_X86_PIT:
    case VISOR__VM_STATE_X86_PIC_PRIMARY:
    case VISOR__VM_STATE_X86_PIC_SECONDARY:
    case VISOR__VM_STATE_X86_IOAPIC:
        has = vm->config.arch == VISOR_ARCH_X86_64 && vm->config.irqchip == VISOR_IRQCHIP_KERNEL &&
              !(piece == VISOR__VM_STATE_X86_PIT && vm->config.no_pit) &&
              vm->hv->backend->x86->get_chip != NULL;
        break;
    case VISOR__VM_STATE_ROUTES: has = vm->config.irqchip != VISOR_IRQCHIP_NONE; break;
    case VISOR__VM_STATE_CLOCK: has = vm->hv->backend->clock != NULL; break;
    case VISOR__VM_STATE_IRQCHIP:
        has = vm->config.irqchip != VISOR_IRQCHIP_NONE && vm->hv->backend->irq->get_regs != NULL;
        break;
    case VISOR__VM_STATE_COUNT: has = false; break;
    }
    return has ? 0 : visor__unsupported(vm->hv, name, "this VM has none in the hypervisor");
}

/* Gathers the routes into images. Returns the bytes of all. */
static int get_routes(struct visor__route_image *out, size_t capacity, visor_vm *vm)
{
    size_t count = visor__irq_routes(NULL, 0, vm);
    visor_route *routes;

    if (capacity < count || count == 0)
        return (int)(count * sizeof(*out));
    routes = calloc(count, sizeof(*routes));
    if (routes == NULL)
        return visor__error(VISOR_ENOMEM, "", "routes", "%zu routes", count);
    count = visor__irq_routes(routes, count, vm);
    for (size_t i = 0; i < count && i < capacity; i++) {
        const visor_route *route = &routes[i];

        out[i] = (struct visor__route_image){
            .gsi = route->gsi,
            .kind = !route->is_msi             ? 0
                    : route->msi.has_device_id ? 2
                                               : 1,
            .chip = route->is_msi ? 0 : (uint32_t)route->chip,
            .pin = route->is_msi ? 0 : route->pin,
            .address = route->is_msi ? route->msi.address : 0,
            .data = route->is_msi ? route->msi.data : 0,
            .device_id = route->is_msi && route->msi.has_device_id ? route->msi.device_id : 0,
        };
    }
    free(routes);
    return (int)(count * sizeof(*out));
}

static int set_routes(visor_vm *vm, const struct visor__route_image *images, size_t count)
{
    visor_route *routes = calloc(count > 0 ? count : 1, sizeof(*routes));
    int ret = 0;

    if (routes == NULL)
        return visor__error(VISOR_ENOMEM, "", "routes", "%zu routes", count);
    for (size_t i = 0; ret == 0 && i < count; i++) {
        const struct visor__route_image *image = &images[i];

        if (image->kind > 2 || image->chip > VISOR_CHIP_AIA)
            ret = visor__error(VISOR_EFORMAT, "", "routes", "route %zu: kind %u, chip %u", i,
                               image->kind, image->chip);
        routes[i] = (visor_route){
            .gsi = image->gsi,
            .is_msi = image->kind != 0,
            .chip = (visor_chip)image->chip,
            .pin = image->pin,
            .msi = {.address = image->address,
                    .data = image->data,
                    .device_id = image->device_id,
                    .has_device_id = image->kind == 2},
        };
    }
    if (ret == 0)
        ret = visor_vm_set_routes(vm, routes, count);
    free(routes);
    return ret;
}

int visor__vm_state_get(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece)
{
    int ret = check_vm_piece(vm, piece);
    uint64_t ns;

    if (ret < 0)
        return ret;
    if (piece == VISOR__VM_STATE_ROUTES)
        return get_routes(buf, capacity / sizeof(struct visor__route_image), vm);
    if (piece == VISOR__VM_STATE_IRQCHIP) {
        ret = visor_vm_get_irqchip(buf, capacity / sizeof(visor_irqchip_reg), vm);
        return ret < 0 ? ret : ret * (int)sizeof(visor_irqchip_reg);
    }
    if (piece == VISOR__VM_STATE_CLOCK) {
        if (capacity < sizeof(ns))
            return sizeof(ns);
        ret = visor_vm_get_clock(&ns, vm);
        if (ret < 0)
            return ret;
        memcpy(buf, &ns, sizeof(ns));
        return sizeof(ns);
    }
    visor__mutex_lock(&vm->lock);
    ret = vm->hv->backend->x86->get_chip(buf, capacity, vm, piece);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor__vm_state_read(void **out, visor_vm *vm, enum visor__vm_state piece)
{
    int capacity = visor__vm_state_get(NULL, 0, vm, piece);
    int length;

    *out = NULL;
    if (capacity <= 0)
        return capacity;
    *out = calloc(1, (size_t)capacity);
    if (*out == NULL)
        return visor__error(VISOR_ENOMEM, "", visor__vm_states[piece].name, "%d bytes", capacity);
    length = visor__vm_state_get(*out, (size_t)capacity, vm, piece);
    if (length > capacity)
        length = visor__error(VISOR_ESTATE, "", visor__vm_states[piece].name,
                              "it changes while it is read");
    if (length <= 0) {
        free(*out);
        *out = NULL;
    }
    return length;
}

int visor__vm_state_set(visor_vm *vm, enum visor__vm_state piece, const void *value, size_t length)
{
    const struct visor__vm_state_info *info = &visor__vm_states[piece];
    int ret = check_vm_piece(vm, piece);
    uint64_t ns;

    if (ret < 0)
        return ret;
    if (info->variable ? length % info->size != 0 : length != info->size)
        return visor__error(VISOR_EMISMATCH, "", info->name, "%zu bytes; %s%zu wanted", length,
                            info->variable ? "a multiple of " : "", info->size);
    if (piece == VISOR__VM_STATE_ROUTES)
        return set_routes(vm, value, length / info->size);
    if (piece == VISOR__VM_STATE_IRQCHIP)
        return visor_vm_set_irqchip(vm, value, length / info->size);
    if (piece == VISOR__VM_STATE_CLOCK) {
        memcpy(&ns, value, sizeof(ns));
        return visor_vm_set_clock(vm, ns);
    }
    visor__mutex_lock(&vm->lock);
    ret = vm->hv->backend->x86->set_chip(vm, piece, value, length);
    visor__mutex_unlock(&vm->lock);
    return ret;
}
