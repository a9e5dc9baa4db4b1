/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel proper inside of a bzImage, entered past the code that would unpack it. What that code
 * does apart from unpacking is done here: Linux, arch/x86/boot/compressed/misc.c (segments,
 * relocations), kaslr.c (random places) and head_64.S (how it is entered: as at the 64-bit entry
 * point of the whole); the header: Documentation/arch/x86/boot.rst. It would also switch to paging
 * of 5 levels where the processor has it: entered here, the kernel keeps to 4.
 */
#include <inttypes.h>
#include <string.h>

#include "boot/bzimage.h"
#include "boot/elf.h"
#include "boot/packing.h"
#include "os/os.h"

/* Where virtual addresses of the kernel begin, and how many there are for it. */
#define MAP_BASE   0xffffffff80000000ull
#define IMAGE_ROOM (1ull << 30)

/* The kernel: unpacked, as an ELF file, and in memory from `preferred` on, if it is not moved. */
struct vmlinux {
    const struct boot_bzimage *header;
    struct boot_elf elf;
    uint64_t extent; /* bytes from there to the last of what it loads */
    /* Places to adjust if it is moved, by how. */
    struct {
        const uint8_t *at;
        size_t count;
    } add64, subtract32, add32;
};

/* ---- the payload ---- */

/* As boot_vmlinux_load(). The image is to be closed if its data are not those of `kernel`. */
static int unpack(struct boot_image *out, const struct boot_image *kernel,
                  const struct boot_bzimage *header, const struct boot_config *config,
                  vmm_error *error)
{
    const uint8_t *payload = kernel->data + header->setup_size + header->payload_offset;
    const struct boot_packing *packing;
    size_t size = header->payload_size, trailer = 4;
    uint32_t expected;
    int code;

    if (header->payload_offset > header->kernel_size ||
        size > header->kernel_size - header->payload_offset || size < 8) {
        vmm_fail(error, 0, "its header does not tell where the kernel proper is");
        return 0;
    }
    *out = (struct boot_image){.path = kernel->path, .data = payload, .size = size};
    if (boot_elf_is(out))
        return 1;
    packing = boot_packing_of(payload, size);
    if (packing == NULL) {
        boot_identify(error->text, sizeof(error->text), out);
        return 0;
    }
    if (packing->unpack == NULL) {
        vmm_fail(error, 0, "it is packed by %s, and this visor was built without %s", packing->name,
                 packing->library);
        return 0;
    }
    /* The unpacked size is appended; to gzip it is not, for it has that itself, at its end. */
    expected = boot_get32(payload + size - 4);
    if (strcmp(packing->name, "gzip") == 0)
        trailer = 0;
    code = boot_unpack_part(out, kernel, packing, payload, size - trailer,
                            visor_memory_size(config->memory), error);
    if (code != 0)
        return code;
    if (out->size != expected) {
        code = vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' cannot be unpacked by %s: there are %zu bytes in it, not "
                        "%" PRIu32,
                        kernel->path, packing->name, out->size, expected);
        boot_image_close(out);
        return code;
    }
    return 1;
}

/*
 * A kernel that can be at random addresses has tables appended: 32-bit words, which are the low
 * halves of the virtual addresses of what is to be adjusted. Each table begins with a 0. Before
 * Linux 6.15 there are three: 64-bit words to add to, 32-bit words to subtract from and to add to;
 * then the second is gone.
 */
static bool read_relocations(struct vmlinux *kernel)
{
    const struct boot_image *image = kernel->elf.image;
    size_t begin = boot_elf_file_end(&kernel->elf), count = (image->size - begin) / 4, heads = 0;
    const uint8_t *at = image->data + begin;
    size_t head[3] = {0};

    if ((image->size - begin) % 4 != 0)
        return false;
    if (count == 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (boot_get32(at + 4 * i) != 0)
            continue;
        if (heads == 3)
            return false;
        head[heads++] = i;
    }
    if (heads < 2 || head[0] != 0)
        return false;
    kernel->add64.at = at + 4;
    kernel->add64.count = head[1] - 1;
    if (heads == 3) {
        kernel->subtract32.at = at + 4 * (head[1] + 1);
        kernel->subtract32.count = head[2] - head[1] - 1;
    }
    kernel->add32.at = at + 4 * (head[heads - 1] + 1);
    kernel->add32.count = count - head[heads - 1] - 1;
    return true;
}

/* Whether all that is to be loaded, adjusted and entered is where the header says. */
static bool fits_header(struct vmlinux *kernel)
{
    uint64_t preferred = kernel->header->preferred, last = 0;
    struct boot_elf_segment segment;

    for (unsigned int i = 0; i < kernel->elf.segment_count; i++) {
        if (boot_elf_segment(&segment, &kernel->elf, i, NULL) != 0)
            return false;
        if (segment.type != BOOT_ELF_LOAD || segment.memory_size == 0)
            continue;
        if (segment.paddr < preferred || segment.paddr - preferred > IMAGE_ROOM ||
            segment.memory_size > IMAGE_ROOM)
            return false;
        if (segment.paddr - preferred + segment.memory_size > last)
            last = segment.paddr - preferred + segment.memory_size;
    }
    kernel->extent = last;
    return last <= kernel->header->run_size && kernel->elf.entry >= preferred &&
           kernel->elf.entry - preferred < last;
}

/* ---- where it goes ---- */

/* Whether the command line has `name`, or if that ends in =, a word that begins so. */
static bool has_word(const char *params, const char *name)
{
    size_t length = strlen(name);
    bool is_prefix = name[length - 1] == '=';

    for (const char *at = params; (at = strstr(at, name)) != NULL; at++) {
        if ((at == params || at[-1] == ' ') &&
            (is_prefix || at[length] == '\0' || at[length] == ' '))
            return true;
    }
    return false;
}

static int random_below(uint64_t *out, uint64_t bound, vmm_error *error)
{
    if (!vmm_random(out, sizeof(*out)))
        return vmm_fail(error, VISOR_ESYSTEM, "cannot get random numbers");
    *out %= bound;
    return 0;
}

/* One past the highest address that the kernel may take, with room for an initrd above it. */
static uint64_t highest_end(const struct boot_bzimage *header, const struct boot_config *config)
{
    uint64_t end = boot_region_end(config->memory, header->preferred), initrd = 0;

    if (config->initrd != NULL) {
        initrd = (config->initrd->size + 0xfff) & ~0xfffull;
        if (end > header->initrd_last + 1)
            end = header->initrd_last + 1;
    }
    return end > initrd ? end - initrd : 0;
}

/* Physical and virtual places, the latter as a distance from where it was linked. */
static int choose_places(uint64_t *address, uint64_t *virtual_delta, bool *randomized,
                         const struct vmlinux *kernel, const struct boot_config *config,
                         vmm_error *error)
{
    const struct boot_bzimage *header = kernel->header;
    uint64_t end = highest_end(header, config), slots = 0, slot;
    int code;

    *address = header->preferred;
    *virtual_delta = 0;
    *randomized = kernel->add32.count != 0 && !has_word(config->params, "nokaslr");
    if (!*randomized)
        return 0;
    code = random_below(
        &slot, (IMAGE_ROOM - header->preferred - header->run_size) / header->alignment + 1, error);
    if (code != 0)
        return code;
    *virtual_delta = slot * header->alignment;
    /* Not where the command line may forbid it to be. */
    if (end > header->preferred && end - header->preferred >= header->run_size &&
        !has_word(config->params, "mem=") && !has_word(config->params, "memmap="))
        slots = (end - header->preferred - header->run_size) / header->alignment;
    code = random_below(&slot, slots + 1, error);
    *address += slot * header->alignment;
    return code;
}

/* ---- into memory ---- */

static int load_segments(const struct vmlinux *kernel, uint64_t address,
                         const struct boot_config *config, vmm_error *error)
{
    struct boot_elf_segment segment;
    int code = 0;

    for (unsigned int i = 0; i < kernel->elf.segment_count && code == 0; i++) {
        code = boot_elf_segment(&segment, &kernel->elf, i, error);
        if (code == 0 && segment.type == BOOT_ELF_LOAD && segment.memory_size != 0)
            code = boot_write(config, address + (segment.paddr - kernel->header->preferred),
                              kernel->elf.image->data + segment.offset, (size_t)segment.file_size,
                              "kernel", error);
    }
    return code;
}

/* Adjusts the words of `width` bytes that a table names; false if one is outside of the kernel. */
static bool adjust(uint8_t *memory, const struct vmlinux *kernel, const uint8_t *table,
                   size_t count, size_t width, uint64_t delta)
{
    for (size_t i = 0; i < count; i++) {
        /* The word in the table, sign-extended, is the virtual address. */
        uint64_t offset = boot_get32(table + 4 * i) - (MAP_BASE & UINT32_MAX);

        if (offset < kernel->header->preferred ||
            offset - kernel->header->preferred + width > kernel->extent)
            return false;
        offset -= kernel->header->preferred;
        if (width == 8)
            boot_put64(memory + offset, boot_get64(memory + offset) + delta);
        else
            boot_put32(memory + offset, boot_get32(memory + offset) + (uint32_t)delta);
    }
    return true;
}

static int relocate(const struct vmlinux *kernel, uint64_t address, uint64_t delta,
                    const struct boot_config *config, vmm_error *error)
{
    void *memory;
    int code = visor_memory_ptr(&memory, config->memory, address, kernel->extent);

    if (code < 0)
        return vmm_fail_visor(error, code, "kernel");
    if (!adjust(memory, kernel, kernel->add32.at, kernel->add32.count, 4, delta) ||
        !adjust(memory, kernel, kernel->subtract32.at, kernel->subtract32.count, 4, -delta) ||
        !adjust(memory, kernel, kernel->add64.at, kernel->add64.count, 8, delta))
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: it has to be adjusted outside of itself",
                        kernel->elf.image->path);
    return 0;
}

static int load(struct boot_bzimage_place *out, struct vmlinux *kernel,
                const struct boot_config *config, vmm_error *error)
{
    const struct boot_bzimage *header = kernel->header;
    const uint64_t mib = 1 << 20;
    uint64_t delta;
    int code;

    if (header->preferred < config->floor_gpa || header->preferred % header->alignment != 0 ||
        header->preferred > IMAGE_ROOM || header->run_size > IMAGE_ROOM - header->preferred ||
        !fits_header(kernel) || !read_relocations(kernel)) {
        vmm_fail(error, 0, "the kernel proper is not laid out as its header says");
        return 0;
    }
    if (!visor_memory_contains(config->memory, header->preferred, header->run_size))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s' needs %" PRIu64 " MiB of memory from address %" PRIu64
                        " MiB on: give the guest more (-m)",
                        kernel->elf.image->path, (header->run_size + mib - 1) / mib,
                        header->preferred / mib);
    code = choose_places(&out->address, &delta, &out->randomized, kernel, config, error);
    if (code == 0)
        code = load_segments(kernel, out->address, config, error);
    if (code == 0 && delta != 0)
        code = relocate(kernel, out->address, delta, config, error);
    if (code != 0)
        return code;
    out->end = out->address + header->run_size;
    out->entry = out->address + (kernel->elf.entry - header->preferred);
    return 1;
}

int boot_vmlinux_load(struct boot_bzimage_place *out, const struct boot_image *kernel,
                      const struct boot_bzimage *header, const struct boot_x86_config *config,
                      vmm_error *error)
{
    struct vmlinux vmlinux = {.header = header};
    struct boot_image unpacked;
    int code = unpack(&unpacked, kernel, header, &config->common, error);

    if (code <= 0)
        return code;
    if (boot_elf_open(&vmlinux.elf, &unpacked, BOOT_ELF_X86_64, error) == 0)
        code = load(out, &vmlinux, &config->common, error);
    else
        code = 0;
    if (unpacked.packing != NULL)
        boot_image_close(&unpacked);
    return code;
}
