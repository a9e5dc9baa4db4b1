/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving VMs and vCPUs. What a piece is, and in which order pieces are saved, is in state.h.
 */
#include "core/snapshot.h"

#include <stdlib.h>
#include <string.h>

/* A name padded with zeros; never cut: names in the tables are shorter. */
static void set_name(char out[16], const char *name)
{
    size_t length = strlen(name);

    memset(out, 0, 16);
    memcpy(out, name, length < 15 ? length : 15);
}

static int compare_ids(const void *a, const void *b)
{
    const visor_vcpu *first = *(visor_vcpu *const *)a, *second = *(visor_vcpu *const *)b;

    return (first->id > second->id) - (first->id < second->id);
}

int visor__list_vcpus(struct visor__vcpu_list *out, visor_vm *vm)
{
    size_t count = 0;

    *out = (struct visor__vcpu_list){0};
    visor__mutex_lock(&vm->lock);
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        count++;
    out->vcpus = calloc(count > 0 ? count : 1, sizeof(visor_vcpu *));
    for (visor_vcpu *vcpu = vm->vcpus; vcpu != NULL && out->vcpus != NULL; vcpu = vcpu->next) {
        if (!vcpu->closed)
            out->vcpus[out->count++] = vcpu;
    }
    visor__mutex_unlock(&vm->lock);
    if (out->vcpus == NULL)
        return visor__error(VISOR_ENOMEM, "", "snapshot", "%zu vCPUs", count);
    qsort(out->vcpus, out->count, sizeof(visor_vcpu *), compare_ids);
    return 0;
}

int visor__check_stopped(const visor_vcpu *vcpu, const char *operation)
{
    if (!atomic_load(&vcpu->kick.running))
        return 0;
    return visor__error(VISOR_ESTATE, "", operation, "vCPU %u is running", vcpu->id);
}

/* ---- writing ---- */

struct writer {
    const visor_stream *stream;
    const char *operation;
    uint64_t sections;
};

static int put(struct writer *writer, const void *data, size_t length)
{
    int ret = writer->stream->write(writer->stream->context, data, length);

    if (ret < 0 && visor_error_last()->code != ret)
        visor__error(ret, "", writer->operation, "the stream took no more");
    return ret;
}

static int put_head(struct writer *writer, const visor_vm *vm, uint32_t contents,
                    uint32_t vcpu_count, uint32_t flags)
{
    struct visor__checksum checksum = {0};
    struct snapshot_head head = {
        .magic = SNAPSHOT_MAGIC,
        .version = SNAPSHOT_VERSION,
        .contents = contents,
        .arch = (uint32_t)vm->config.arch,
        .irqchip = (uint32_t)vm->config.irqchip,
        .vcpu_count = vcpu_count,
        .flags = flags,
    };

    set_name(head.backend, vm->hv->backend->name);
    visor__checksum_add(&checksum, &head, offsetof(struct snapshot_head, checksum));
    head.checksum = visor__checksum_value(&checksum);
    return put(writer, &head, sizeof(head));
}

static int put_section(struct writer *writer, uint32_t scope, uint32_t instance, const char *name,
                       const void *payload, size_t length)
{
    struct visor__checksum checksum = {0};
    struct snapshot_section section = {.scope = scope, .instance = instance, .length = length};
    uint64_t sum;
    int ret;

    set_name(section.name, name);
    visor__checksum_add(&checksum, &section, sizeof(section));
    visor__checksum_add(&checksum, payload, length);
    sum = visor__checksum_value(&checksum);
    writer->sections++;
    ret = put(writer, &section, sizeof(section));
    if (ret == 0 && length > 0)
        ret = put(writer, payload, length);
    return ret < 0 ? ret : put(writer, &sum, sizeof(sum));
}

static int put_end(struct writer *writer)
{
    const uint64_t sections = writer->sections;

    return put_section(writer, SCOPE_END, 0, "end", &sections, sizeof(sections));
}

static int put_vcpu(struct writer *writer, visor_vcpu *vcpu)
{
    int ret = 0;

    for (unsigned rank = 0; ret == 0; rank++) {
        enum visor__state piece = visor__state_by_save(vcpu->vm->config.arch, rank);
        const char *name = piece < VISOR__STATE_COUNT ? visor__states[piece].name : "";
        void *value;
        int length;

        if (piece == VISOR__STATE_COUNT)
            break;
        length = visor__state_read(&value, vcpu, piece);
        if (length == VISOR_EUNSUPPORTED)
            continue;
        if (length < 0)
            return visor__error_context("vCPU %u, %s", vcpu->id, name);
        ret = put_section(writer, SCOPE_VCPU, vcpu->id, name, value, (size_t)length);
        free(value);
    }
    return ret;
}

/* The pieces of the VM that are saved late, from when they are read until they are written. */
struct late {
    void *values[VISOR__VM_STATE_COUNT];
    int lengths[VISOR__VM_STATE_COUNT]; /* < 0: the VM does not have it */
};

static void late_free(struct late *late)
{
    for (unsigned i = 0; i < VISOR__VM_STATE_COUNT; i++)
        free(late->values[i]);
}

/* Reads the pieces of the VM; writes them, or keeps them if they are late. */
static int put_vm(struct writer *writer, visor_vm *vm, struct late *late)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < VISOR__VM_STATE_COUNT; i++) {
        const char *name = visor__vm_states[i].name;
        void *value;
        int length = visor__vm_state_read(&value, vm, (enum visor__vm_state)i);

        late->lengths[i] = -1;
        if (length == VISOR_EUNSUPPORTED)
            continue;
        if (length < 0)
            return visor__error_context("%s", name);
        if (visor__vm_states[i].late) {
            late->values[i] = value;
            late->lengths[i] = length;
            continue;
        }
        ret = put_section(writer, SCOPE_VM, 0, name, value, (size_t)length);
        free(value);
    }
    return ret;
}

static int put_late(struct writer *writer, const struct late *late)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < VISOR__VM_STATE_COUNT; i++) {
        if (visor__vm_states[i].late && late->lengths[i] >= 0)
            ret = put_section(writer, SCOPE_VM, 0, visor__vm_states[i].name, late->values[i],
                              (size_t)late->lengths[i]);
    }
    return ret;
}

/* Completes what is pending, so that registers are final. */
static int settle(visor_vcpu *vcpu, const char *operation)
{
    int ret = visor__check_stopped(vcpu, operation);

    if (ret == 0)
        ret = visor_vcpu_settle(vcpu);
    if (ret > VISOR_EXIT_NONE)
        ret = visor__error(VISOR_ESTATE, "", operation,
                           "vCPU %u: its last instruction still has an access to be answered (%s)",
                           vcpu->id, visor_exit_name(ret));
    return ret;
}

static int check_writer(const struct writer *writer)
{
    if (writer->stream != NULL && writer->stream->write != NULL)
        return 0;
    return visor__error(VISOR_EINVAL, "", writer->operation, "the stream cannot write");
}

int visor__check_snapshot(visor_vm *vm, const char *operation)
{
    if (visor_vm_cap(vm, VISOR_CAP_SNAPSHOT) > 0)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, operation, "%s",
                        vm->hv->backend->vcpu->get_state == NULL
                            ? "the state of its vCPUs cannot be read"
                            : "the state of a protected VM is not the host's to read");
}

void visor__hold_time(visor_vm *vm, bool hold)
{
    if (vm->hv->backend->vm->hold_time != NULL)
        vm->hv->backend->vm->hold_time(vm, hold);
}

int visor_vcpu_save(visor_vcpu *vcpu, const visor_stream *stream)
{
    struct writer writer = {.stream = stream, .operation = __func__};
    int ret = check_writer(&writer);

    if (ret == 0)
        ret = visor__check_snapshot(vcpu->vm, __func__);
    if (ret == 0)
        ret = settle(vcpu, __func__);
    if (ret == 0)
        ret = put_head(&writer, vcpu->vm, CONTENTS_VCPU, 1, 0);
    if (ret == 0)
        ret = put_vcpu(&writer, vcpu);
    return ret < 0 ? ret : put_end(&writer);
}

int visor_vm_save(visor_vm *vm, const visor_stream *stream, const visor_snapshot_config *config)
{
    struct writer writer = {.stream = stream, .operation = __func__};
    struct visor__vcpu_list list = {0};
    struct late late = {0};
    visor_snapshot_config how;
    bool holds = false;
    int ret = visor__config_copy(&how, sizeof(how), config, __func__);

    if (ret == 0)
        ret = check_writer(&writer);
    if (ret == 0)
        ret = visor__check_snapshot(vm, __func__);
    if (ret == 0)
        ret = visor__list_vcpus(&list, vm);
    /* All before any: handlers that settling calls may still change the others' interrupts. */
    for (size_t i = 0; ret == 0 && i < list.count; i++)
        ret = settle(list.vcpus[i], __func__);
    if (ret == 0) {
        visor__hold_time(vm, true);
        holds = true;
    }
    if (ret == 0)
        ret = put_head(&writer, vm, CONTENTS_VM, (uint32_t)list.count,
                       how.without_memory ? 0 : FLAG_MEMORY);
    if (ret == 0)
        ret = put_vm(&writer, vm, &late);
    for (size_t i = 0; ret == 0 && i < list.count; i++)
        ret = put_vcpu(&writer, list.vcpus[i]);
    if (ret == 0 && !how.without_memory) {
        ret = put_section(&writer, SCOPE_MEMORY, 0, "memory", NULL, 0);
        if (ret == 0)
            ret = visor_memory_save(vm->memory, stream);
    }
    if (ret == 0)
        ret = put_late(&writer, &late);
    if (ret == 0)
        ret = put_end(&writer);
    if (holds)
        visor__hold_time(vm, false);
    late_free(&late);
    free(list.vcpus);
    return ret;
}
