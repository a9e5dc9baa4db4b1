/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings: pieces of host memory that move between the caller and a VM's slots. */
#include <stdlib.h>

#include "core/memory.h"

static int create(visor_mapping **out, enum visor__mapping_kind kind, uint64_t length,
                  const char *operation)
{
    visor_mapping *mapping;

    if (length == 0 || visor__page_round(length) == 0)
        return visor__error(VISOR_EINVAL, "", operation, "a mapping of 0x%llx bytes",
                            (unsigned long long)length);
    mapping = malloc(sizeof(*mapping));
    if (mapping == NULL)
        return visor__error(VISOR_ENOMEM, "", operation, "no memory for the object");
    *mapping = (visor_mapping){.kind = kind, .length = length, .host_writable = true};
    *out = mapping;
    return 0;
}

/* Hands out a mapping whose host memory was made, or frees the shell of one whose was not. */
static int finish(visor_mapping **out, visor_mapping *mapping, int ret)
{
    if (ret < 0) {
        free(mapping);
        return ret;
    }
    *out = mapping;
    return 0;
}

int visor_mapping_create(visor_mapping **out, uint64_t length)
{
    visor_mapping *mapping = NULL;
    int ret = create(&mapping, VISOR__MAPPING_OWNED, length, "visor_mapping_create");

    if (ret < 0)
        return ret;
    ret = visor__os_map(&mapping->host, VISOR_FILE_NONE, 0, visor__page_round(length), 0, true);
    return finish(out, mapping, ret);
}

int visor_mapping_create_file(visor_mapping **out, visor_file file, uint64_t offset,
                              uint64_t length, bool writable)
{
    static const char op[] = "visor_mapping_create_file";
    visor_mapping *mapping = NULL;
    int ret;

    if (file == VISOR_FILE_NONE) /* which would be anonymous memory to visor__os_map() */
        return visor__error(VISOR_EINVAL, "", op, "no file given");
    ret = visor__os_check_file(file, offset, length, op);
    if (ret < 0)
        return ret;
    ret = create(&mapping, VISOR__MAPPING_OWNED, length, op);
    if (ret < 0)
        return ret;
    mapping->host_writable = writable;
    ret = visor__os_map(&mapping->host, file, offset, visor__page_round(length), 0, writable);
    return finish(out, mapping, ret);
}

int visor_mapping_create_arena(visor_mapping **out, uint64_t length)
{
    visor_mapping *mapping = NULL;
    int ret = create(&mapping, VISOR__MAPPING_ARENA, length, "visor_mapping_create_arena");

    if (ret < 0)
        return ret;
    ret = visor__os_map_arena(&mapping->host, visor__page_round(length));
    return finish(out, mapping, ret);
}

int visor_mapping_create_borrowed(visor_mapping **out, void *host, uint64_t length)
{
    if ((uintptr_t)host % visor__os_page_size() != 0)
        return visor__error(VISOR_EALIGN, "", "visor_mapping_create_borrowed",
                            "the address %p is not page aligned", host);
    if (host == NULL)
        return visor__error(VISOR_EINVAL, "", "visor_mapping_create_borrowed", "no memory given");

    int ret = create(out, VISOR__MAPPING_BORROWED, length, "visor_mapping_create_borrowed");

    if (ret == 0)
        (*out)->host = host;
    return ret;
}

void visor_mapping_free(visor_mapping *mapping)
{
    if (mapping == NULL || atomic_load(&mapping->held))
        return;
    if (mapping->kind != VISOR__MAPPING_BORROWED)
        visor__os_unmap(mapping->host, visor__page_round(mapping->length));
    free(mapping);
}

void *visor_mapping_host(const visor_mapping *mapping)
{
    return mapping->host;
}

uint64_t visor_mapping_length(const visor_mapping *mapping)
{
    return mapping->length;
}
