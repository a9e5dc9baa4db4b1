/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Restoring VMs and vCPUs. What a piece is, and in which order pieces are set, is in state.h.
 *
 * A snapshot may come from anywhere: lengths are checked before memory is asked for, a piece is
 * used only after its checksum, and no vCPU gets a piece before all of its pieces have been read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/snapshot.h"
#include "core/x86.h"

struct reader {
    const visor_stream *stream;
    const char *operation;
    struct visor__printer notes;
    struct snapshot_head head;
    uint64_t sections;
    visor_x86_pit *pit; /* to be set at the end; NULL: there was none */
};

/* The pieces of one vCPU, until all of them are here. */
struct vcpu_image {
    visor_vcpu *vcpu; /* NULL: none begun */
    void *values[VISOR__STATE_COUNT];
    size_t lengths[VISOR__STATE_COUNT];
    bool present[VISOR__STATE_COUNT];
};

static void image_clear(struct vcpu_image *image)
{
    for (unsigned i = 0; i < VISOR__STATE_COUNT; i++)
        free(image->values[i]);
    *image = (struct vcpu_image){0};
}

static int take(struct reader *reader, void *data, size_t length, const char *what)
{
    int ret = reader->stream->read(reader->stream->context, data, length);

    if (ret < 0 && visor_error_last()->code != ret)
        visor__error(ret, "", reader->operation, "the stream gave no more");
    return ret < 0 ? visor__error_context("reading %s", what) : 0;
}

static int damaged(const struct reader *reader, const char *what)
{
    return visor__error(VISOR_EFORMAT, "", reader->operation,
                        "%s: the checksum is wrong: the data is damaged", what);
}

static int take_head(struct reader *reader)
{
    struct snapshot_head *head = &reader->head;
    struct visor__checksum checksum = {0};
    int ret = take(reader, head, sizeof(*head), "the head");

    if (ret < 0)
        return ret;
    if (head->magic != SNAPSHOT_MAGIC)
        return visor__error(VISOR_EFORMAT, "", reader->operation, "this is not a snapshot");
    visor__checksum_add(&checksum, head, offsetof(struct snapshot_head, checksum));
    if (visor__checksum_value(&checksum) != head->checksum)
        return damaged(reader, "head");
    head->backend[sizeof(head->backend) - 1] = '\0';
    if (head->version != SNAPSHOT_VERSION)
        return visor__error(VISOR_EFORMAT, "", reader->operation,
                            "format version %u; this library reads %u", head->version,
                            SNAPSHOT_VERSION);
    return 0;
}

static int mismatch(const struct reader *reader, const char *what, uint32_t here)
{
    return visor__error(VISOR_EMISMATCH, "", reader->operation,
                        "%s: another one in the snapshot than here, where it is %u", what, here);
}

/* Whether the head fits this VM. */
static int check_head(const struct reader *reader, const visor_vm *vm, uint32_t contents,
                      uint32_t vcpu_count, uint32_t flags)
{
    const struct snapshot_head *head = &reader->head;

    if (head->contents != contents)
        return visor__error(VISOR_EMISMATCH, "", reader->operation, "this is a snapshot of a %s",
                            head->contents == CONTENTS_VCPU ? "single vCPU" : "whole VM");
    if (head->arch != (uint32_t)vm->config.arch)
        return mismatch(reader, "architecture", (uint32_t)vm->config.arch);
    if (head->irqchip != (uint32_t)vm->config.irqchip)
        return mismatch(reader, "interrupt chip", (uint32_t)vm->config.irqchip);
    if (head->vcpu_count != vcpu_count)
        return visor__error(VISOR_EMISMATCH, "", reader->operation,
                            "%u vCPUs in the snapshot, %u here", head->vcpu_count, vcpu_count);
    if (head->flags != flags)
        return visor__error(VISOR_EMISMATCH, "", reader->operation,
                            "the snapshot was made %s guest memory",
                            head->flags & FLAG_MEMORY ? "with" : "without");
    return 0;
}

static int take_section(struct reader *reader, struct snapshot_section *section)
{
    int ret = take(reader, section, sizeof(*section), "a section");

    if (ret == 0 && section->name[sizeof(section->name) - 1] != '\0')
        ret =
            visor__error(VISOR_EFORMAT, "", reader->operation, "the name of a section has no end");
    return ret;
}

/* Refuses lengths that cannot be, before memory is asked for. */
static int check_length(const struct reader *reader, const struct snapshot_section *section,
                        size_t size, bool variable)
{
    if (variable ? section->length <= SNAPSHOT_PIECE_MAX && section->length % size == 0
                 : section->length == size)
        return 0;
    return visor__error(VISOR_EFORMAT, "", reader->operation, "%s has %llu bytes", section->name,
                        (unsigned long long)section->length);
}

/* The payload of a piece with this size, after its checksum. The caller frees it. */
static int take_payload(void **out, struct reader *reader, const struct snapshot_section *section,
                        size_t size, bool variable)
{
    struct visor__checksum checksum = {0};
    size_t length = (size_t)section->length;
    uint64_t sum;
    int ret = check_length(reader, section, size, variable);

    if (ret != 0)
        return ret;
    *out = calloc(1, length > 0 ? length : 1);
    if (*out == NULL)
        return visor__error(VISOR_ENOMEM, "", reader->operation, "%zu bytes", length);
    if (length > 0)
        ret = take(reader, *out, length, section->name);
    if (ret == 0)
        ret = take(reader, &sum, sizeof(sum), section->name);
    visor__checksum_add(&checksum, section, sizeof(*section));
    visor__checksum_add(&checksum, *out, length);
    if (ret == 0 && sum != visor__checksum_value(&checksum))
        ret = damaged(reader, section->name);
    if (ret != 0) {
        free(*out);
        *out = NULL;
    }
    return ret;
}

/* What cannot be set, with its place. A piece that is not here at all is a mismatch. */
static int restore_failed(const struct reader *reader, int code, const char *where,
                          const char *name)
{
    char detail[256];

    if (code == VISOR_EUNSUPPORTED) {
        snprintf(detail, sizeof(detail), "%s", visor_error_last()->detail);
        return visor__error(VISOR_EMISMATCH, "", reader->operation,
                            "%s%s: in the snapshot (from %s), and not in this VM: %s", where, name,
                            reader->head.backend, detail);
    }
    return visor__error_context("restoring %s%s", where, name);
}

/*
 * The interval timer is the last to be set, and stands still until then. If one of its interrupts
 * came before the state of a chip, that would wipe it out; and KVM's timer raises none before the
 * one before has been acknowledged, which nobody would do then.
 */
static int hold_pit(struct reader *reader, visor_vm *vm, void **value)
{
    visor_x86_pit still;

    free(reader->pit);
    reader->pit = *value;
    *value = NULL;
    still = *reader->pit;
    still.channel[0].mode = 0xff; /* as one that was not programmed */
    return visor__vm_state_set(vm, VISOR__VM_STATE_X86_PIT, &still, sizeof(still));
}

static int set_pit(const struct reader *reader, visor_vm *vm)
{
    int ret = 0;

    if (reader->pit != NULL)
        ret = visor__vm_state_set(vm, VISOR__VM_STATE_X86_PIT, reader->pit, sizeof(*reader->pit));
    return ret < 0 ? restore_failed(reader, ret, "", visor__vm_states[VISOR__VM_STATE_X86_PIT].name)
                   : 0;
}

static int take_vm_piece(struct reader *reader, const struct snapshot_section *section,
                         visor_vm *vm)
{
    unsigned piece = 0;
    void *value;
    int ret;

    while (piece < VISOR__VM_STATE_COUNT &&
           strcmp(section->name, visor__vm_states[piece].name) != 0)
        piece++;
    if (piece == VISOR__VM_STATE_COUNT || reader->head.contents != CONTENTS_VM)
        return visor__error(VISOR_EFORMAT, "", reader->operation, "a VM has no \"%s\"",
                            section->name);
    ret = take_payload(&value, reader, section, visor__vm_states[piece].size,
                       visor__vm_states[piece].variable);
    if (ret != 0)
        return ret;
    if (piece == VISOR__VM_STATE_X86_PIT)
        ret = hold_pit(reader, vm, &value);
    else
        ret = visor__vm_state_set(vm, (enum visor__vm_state)piece, value, (size_t)section->length);
    free(value);
    /* A guest that uses the clock has told a MSR where it wants to see it, and that is refused. */
    if (ret == VISOR_EUNSUPPORTED && piece == VISOR__VM_STATE_CLOCK)
        return 0;
    return ret < 0 ? restore_failed(reader, ret, "", section->name) : 0;
}

static int take_vcpu_piece(struct reader *reader, const struct snapshot_section *section,
                           struct vcpu_image *image)
{
    enum visor__state piece;
    int ret;

    if (image->vcpu == NULL)
        return visor__error(VISOR_EMISMATCH, "", reader->operation,
                            "vCPU %u is in the snapshot, and not (or not once more) in this VM",
                            section->instance);
    piece = visor__state_by_name(image->vcpu->vm->config.arch, section->name);
    if (piece == VISOR__STATE_COUNT)
        return visor__error(VISOR_EFORMAT, "", reader->operation, "a vCPU has no \"%s\"",
                            section->name);
    if (piece == VISOR__STATE_X86_NESTED && section->length > 0 &&
        strcmp(reader->head.backend, image->vcpu->vm->hv->backend->name) != 0)
        return visor__error(VISOR_EMISMATCH, "", reader->operation,
                            "vCPU %u uses nested virtualization, whose state only %s can read",
                            section->instance, reader->head.backend);
    if (image->present[piece])
        return visor__error(VISOR_EFORMAT, "", reader->operation, "vCPU %u has %s twice",
                            section->instance, section->name);
    ret = take_payload(&image->values[piece], reader, section, visor__states[piece].size,
                       visor__states[piece].variable);
    image->lengths[piece] = (size_t)section->length;
    image->present[piece] = ret == 0;
    return ret;
}

/* Sets all pieces that have been gathered, in the order of the table. */
static int apply(const struct reader *reader, struct vcpu_image *image)
{
    visor_vcpu *vcpu = image->vcpu;
    int ret = 0;

    for (unsigned rank = 0; ret == 0 && vcpu != NULL; rank++) {
        enum visor__state piece = visor__state_by_restore(vcpu->vm->config.arch, rank);

        if (piece == VISOR__STATE_COUNT)
            break;
        if (!image->present[piece])
            continue;
        if (piece == VISOR__STATE_X86_XSAVE)
            ret = visor__x86_fit_xsave(&image->values[piece], &image->lengths[piece],
                                       (size_t)visor_vm_cap(vcpu->vm, VISOR_CAP_X86_XSAVE_SIZE),
                                       reader->operation);
        if (ret == 0)
            ret = visor__state_set(vcpu, piece, image->values[piece], image->lengths[piece],
                                   &reader->notes);
        if (ret < 0) {
            char where[24];

            snprintf(where, sizeof(where), "vCPU %u, ", vcpu->id);
            ret = restore_failed(reader, ret, where, visor__states[piece].name);
        }
    }
    image_clear(image);
    return ret;
}

/* Takes a vCPU out of the list, NULL if it is not there or has been taken already. */
static visor_vcpu *claim(const struct visor__vcpu_list *list, uint32_t id)
{
    for (size_t i = 0; i < list->count; i++) {
        visor_vcpu *vcpu = list->vcpus[i];

        if (vcpu != NULL && vcpu->id == id) {
            list->vcpus[i] = NULL;
            return vcpu;
        }
    }
    return NULL;
}

static int take_end(struct reader *reader, const struct snapshot_section *section,
                    const struct visor__vcpu_list *list)
{
    void *value;
    uint64_t sections;
    int ret = take_payload(&value, reader, section, sizeof(sections), false);

    if (ret != 0)
        return ret;
    memcpy(&sections, value, sizeof(sections));
    free(value);
    if (sections != reader->sections)
        return visor__error(VISOR_EFORMAT, "", reader->operation,
                            "%llu sections, and there should be %llu",
                            (unsigned long long)reader->sections, (unsigned long long)sections);
    for (size_t i = 0; i < list->count; i++) {
        if (list->vcpus[i] != NULL)
            return visor__error(VISOR_EMISMATCH, "", reader->operation,
                                "vCPU %u is not in the snapshot", list->vcpus[i]->id);
    }
    return 0;
}

static int take_memory(struct reader *reader, const struct snapshot_section *section, visor_vm *vm)
{
    void *nothing;
    int ret = take_payload(&nothing, reader, section, 0, false);

    if (ret != 0)
        return ret;
    free(nothing);
    if ((reader->head.flags & FLAG_MEMORY) == 0)
        return visor__error(VISOR_EFORMAT, "", reader->operation, "memory was not announced");
    reader->head.flags &= ~(uint32_t)FLAG_MEMORY;
    return visor_memory_restore(vm->memory, reader->stream);
}

/* Reads sections up to the end. Takes the vCPUs out of the list as it finds them. */
static int take_sections(struct reader *reader, visor_vm *vm, const struct visor__vcpu_list *list)
{
    struct vcpu_image image = {0};
    struct snapshot_section section = {0};
    int ret = 0;

    while (ret == 0 && section.scope != SCOPE_END) {
        ret = take_section(reader, &section);
        if (ret == 0 && image.vcpu != NULL &&
            (section.scope != SCOPE_VCPU || section.instance != image.vcpu->id))
            ret = apply(reader, &image);
        if (ret == 0 && section.scope == SCOPE_VCPU && image.vcpu == NULL)
            image.vcpu = claim(list, section.instance);
        if (ret != 0)
            break;
        switch (section.scope) {
        case SCOPE_VM: ret = take_vm_piece(reader, &section, vm); break;
        case SCOPE_VCPU: ret = take_vcpu_piece(reader, &section, &image); break;
        case SCOPE_MEMORY: ret = take_memory(reader, &section, vm); break;
        case SCOPE_END: ret = take_end(reader, &section, list); break;
        default:
            ret = visor__error(VISOR_EFORMAT, "", reader->operation, "a section of scope %u",
                               section.scope);
            break;
        }
        reader->sections++;
    }
    image_clear(&image);
    if (ret == 0 && (reader->head.flags & FLAG_MEMORY) != 0)
        ret = visor__error(VISOR_EFORMAT, "", reader->operation, "guest memory is missing");
    if (ret == 0)
        ret = set_pit(reader, vm);
    free(reader->pit);
    reader->pit = NULL;
    return ret;
}

static int check_reader(const struct reader *reader)
{
    if (reader->stream != NULL && reader->stream->read != NULL)
        return 0;
    return visor__error(VISOR_EINVAL, "", reader->operation, "the stream cannot read");
}

/* Reads the head, and makes the vCPUs forget what they were about once it fits. */
static int begin(struct reader *reader, const visor_vm *vm, uint32_t contents,
                 const struct visor__vcpu_list *list, uint32_t flags)
{
    int ret = take_head(reader);

    if (ret == 0)
        ret = check_head(reader, vm, contents, (uint32_t)list->count, flags);
    for (size_t i = 0; ret == 0 && i < list->count; i++)
        ret = visor__check_stopped(list->vcpus[i], reader->operation);
    for (size_t i = 0; ret == 0 && i < list->count; i++)
        ret = visor__state_abandon(list->vcpus[i]);
    return ret;
}

int visor_vcpu_restore(visor_vcpu *vcpu, const visor_stream *stream)
{
    struct reader reader = {.stream = stream, .operation = __func__};
    visor_vcpu *one[] = {vcpu};
    const struct visor__vcpu_list list = {.vcpus = one, .count = 1};
    int ret = check_reader(&reader);

    if (ret == 0)
        ret = visor__check_snapshot(vcpu->vm, __func__);
    if (ret == 0)
        ret = begin(&reader, vcpu->vm, CONTENTS_VCPU, &list, 0);
    return ret < 0 ? ret : take_sections(&reader, vcpu->vm, &list);
}

int visor_vm_restore(visor_vm *vm, const visor_stream *stream, const visor_snapshot_config *config)
{
    struct reader reader = {.stream = stream, .operation = __func__};
    struct visor__vcpu_list list = {0};
    visor_snapshot_config how;
    int ret = visor__config_copy(&how, sizeof(how), config, __func__);

    reader.notes = (struct visor__printer){.print = how.note, .context = how.context};
    if (ret == 0)
        ret = check_reader(&reader);
    if (ret == 0)
        ret = visor__check_snapshot(vm, __func__);
    if (ret == 0)
        ret = visor__list_vcpus(&list, vm);
    if (ret == 0)
        ret = begin(&reader, vm, CONTENTS_VM, &list, how.without_memory ? 0 : FLAG_MEMORY);
    if (ret == 0) {
        visor__hold_time(vm, true);
        ret = take_sections(&reader, vm, &list);
        visor__hold_time(vm, false);
    }
    free(list.vcpus);
    return ret;
}
