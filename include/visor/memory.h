/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory (RAM that exists as long as the VM), and mappings: pieces of host memory that can
 * be put into a VM and taken out again while it runs (slots, see <visor/vm.h>).
 */
#ifndef VISOR_MEMORY_H
#define VISOR_MEMORY_H

#include <visor/base.h>
#include <visor/snapshot.h>

VISOR_BEGIN_DECLS

/* What a region is for. Most hypervisors treat all alike; those of Android do not. */
typedef enum visor_memory_purpose {
    VISOR_MEMORY_RAM = 0,
    VISOR_MEMORY_BIOS = 1,
    VISOR_MEMORY_PROTECTED_FIRMWARE = 2,
    VISOR_MEMORY_RESERVED = 3, /* backed, but reported to the guest as reserved */
    VISOR_MEMORY_SWIOTLB = 4,  /* bounce buffer, shared with the host */
} visor_memory_purpose;

/* One region of guest memory, as the caller describes it. */
typedef struct visor_memory_region {
    uint64_t gpa;                 /* first guest-physical address */
    uint64_t length;              /* bytes, a multiple of the host page size */
    visor_memory_purpose purpose;
    bool read_only;               /* guest writes give an MMIO exit and leave memory unchanged */
    uint64_t align;               /* wanted alignment of the host address in bytes, 0: a page */
    bool from_file;               /* back it by `file` instead of anonymous memory */
    visor_file file;              /* duplicated; mapped shared, read/write unless read_only */
    uint64_t file_offset;         /* bytes, a multiple of the page size */
} visor_memory_region;

/* Options of a whole guest memory. */
typedef struct visor_memory_config {
    uint32_t size;
    bool huge_pages; /* advise huge pages for mappings of 2 MiB or more */
    bool lock;       /* keep every touched page in host memory */
    bool no_fork;    /* do not give the memory to forked children */
    bool punch_hole; /* discard by punching a hole into the backing file */
} visor_memory_config;
#define VISOR_MEMORY_CONFIG_INIT {.size = sizeof(visor_memory_config)}

/*
 * Makes guest memory of `count` >= 1 regions, sorted by address and not overlapping (EOVERLAP,
 * EINVAL), each a multiple of the page size (EALIGN) and not past 2^64 (EOVERFLOW), nor past the end
 * of its file (ERANGE). All anonymous regions share one memfd (on Linux), in order. Reads as zeros.
 * config may be NULL.
 */
VISOR_API int visor_memory_create(visor_memory **out, const visor_memory_region *regions,
                                  size_t count, const visor_memory_config *config);
VISOR_API visor_memory *visor_memory_ref(visor_memory *memory);
/* The host mapping stays until the last VM that uses it is gone. */
VISOR_API void visor_memory_free(visor_memory *memory);

VISOR_API size_t visor_memory_region_count(const visor_memory *memory);

/* A region as it is. `host` is stable for the life of the memory. */
typedef struct visor_memory_info {
    uint64_t gpa;
    uint64_t length;
    visor_memory_purpose purpose;
    bool read_only;
    void *host;
    visor_file file;      /* backing file, owned by the memory; VISOR_FILE_NONE if there is none */
    uint64_t file_offset; /* of the region in it */
} visor_memory_info;
/* ERANGE past the last region. */
VISOR_API int visor_memory_region_info(visor_memory_info *out, const visor_memory *memory,
                                       size_t index);

/* Sum of all region lengths. */
VISOR_API uint64_t visor_memory_size(const visor_memory *memory);
/* One past the last byte of the highest region. */
VISOR_API uint64_t visor_memory_end(const visor_memory *memory);
/* Whether [gpa, gpa+length) lies inside one region; false for length 0. */
VISOR_API bool visor_memory_contains(const visor_memory *memory, uint64_t gpa, uint64_t length);
/* Whether any byte of [gpa, gpa+length) belongs to a region. */
VISOR_API bool visor_memory_overlaps(const visor_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Copy between guest memory and a buffer; a range may span adjacent regions. All or nothing:
 * ERANGE, and nothing is copied, unless every byte is guest memory. The host may write to regions
 * that are read-only to the guest, unless they are read-only files (EACCESS).
 * The guest may change the bytes at any time; treat what you read as hostile.
 */
VISOR_API int visor_memory_read(void *out, const visor_memory *memory, uint64_t gpa, size_t length);
VISOR_API int visor_memory_write(visor_memory *memory, uint64_t gpa, const void *data,
                                 size_t length);
/* The host address of [gpa, gpa+length), which must lie inside one region (ERANGE). */
VISOR_API int visor_memory_ptr(void **out, const visor_memory *memory, uint64_t gpa,
                               uint64_t length);

/*
 * Gives the host memory of a page-aligned range inside one region back to the host; it reads as
 * zeros afterwards.
 */
VISOR_API int visor_memory_discard(visor_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Writes all regions to a stream, leaving out pages that hold no data; reads them back into memory
 * of the same layout (EMISMATCH). The guest must not run meanwhile.
 */
VISOR_API int visor_memory_save(visor_memory *memory, const visor_stream *stream);
VISOR_API int visor_memory_restore(visor_memory *memory, const visor_stream *stream);

/*
 * Mappings. A mapping belongs to the caller until visor_vm_add_slot() takes it and again once
 * visor_vm_remove_slot() gives it back: the same object, the same address, the same size.
 */

/* Anonymous zeroed memory. length > 0, in bytes, need not be whole pages. */
VISOR_API int visor_mapping_create(visor_mapping **out, uint64_t length);
/* Part of a file, shared. writable: the host mapping allows writes; one that does not goes into
 * read-only slots only. offset is page aligned. ERANGE: a regular file is shorter. */
VISOR_API int visor_mapping_create_file(visor_mapping **out, visor_file file, uint64_t offset,
                                        uint64_t length, bool writable);
/*
 * Address space that starts as unwritable zeros and whose parts can be backed by files later
 * (visor_vm_slot_map_file()).
 */
VISOR_API int visor_mapping_create_arena(visor_mapping **out, uint64_t length);
/*
 * The caller's own memory: page aligned, and to stay mapped until the mapping is freed. length is
 * rounded up to pages when a slot is made of it, so the rest of the last page must be mapped too.
 */
VISOR_API int visor_mapping_create_borrowed(visor_mapping **out, void *host, uint64_t length);
/* Does nothing to a mapping that a slot holds: it goes with the slot's VM. */
VISOR_API void visor_mapping_free(visor_mapping *mapping);
VISOR_API void *visor_mapping_host(const visor_mapping *mapping);
/* The length it was created with, not rounded. */
VISOR_API uint64_t visor_mapping_length(const visor_mapping *mapping);

VISOR_END_DECLS

#endif
