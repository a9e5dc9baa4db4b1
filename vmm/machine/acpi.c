/* SPDX-License-Identifier: BSD-3-Clause */
/* Section numbers are those of the ACPI specification, release 6.4. */
#include "machine/acpi.h"

#include <string.h>

#include "devices/platform.h"
#include "machine/aml.h"

#define HEADER_SIZE 36
#define RSDP_SIZE   36
#define FADT_SIZE   276
#define FACS_SIZE   64
#define TABLE_ALIGN 64 /* what the FACS wants; good for all */

/* FADT flags (5.2.9, table 5.10) */
#define FADT_WBINVD        (1u << 0)
#define FADT_PROC_C1       (1u << 2)
#define FADT_NO_SLP_BUTTON (1u << 5)
#define FADT_FIX_RTC       (1u << 6) /* the RTC's wake status is not in the fixed registers */
#define FADT_TMR_VAL_EXT   (1u << 8)
#define FADT_RESET_REG_SUP (1u << 10)
/* IA-PC boot flags (5.2.9.3). The i8042 is there for reset only, so it is not announced. */
#define IAPC_LEGACY_DEVICES (1u << 0)
#define IAPC_NO_VGA         (1u << 2)

#define GAS_SYSTEM_IO 1

/* A System Description Table Header (5.2.6); length and checksum come with end_table(). */
static size_t begin_table(struct aml *out, const char *signature, uint8_t revision)
{
    size_t start;

    while (out->size % TABLE_ALIGN != 0 && !out->overflow)
        aml_number(out, 0, 1);
    start = out->size;
    aml_bytes(out, signature, 4);
    aml_number(out, 0, 4);
    aml_number(out, revision, 1);
    aml_number(out, 0, 1);
    aml_bytes(out, "VISOR ", 6);
    aml_bytes(out, "VISORPC ", 8);
    aml_number(out, 1, 4);
    aml_bytes(out, "VISR", 4);
    aml_number(out, 1, 4);
    return start;
}

static uint8_t checksum(const uint8_t *data, size_t length)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

static void put(struct aml *out, size_t at, uint64_t value, unsigned int width)
{
    if (out->overflow)
        return;
    for (unsigned int i = 0; i < width; i++)
        out->data[at + i] = (uint8_t)(value >> (8 * i));
}

static void end_table(struct aml *out, size_t start)
{
    if (out->overflow)
        return;
    put(out, start + 4, out->size - start, 4);
    out->data[start + 9] = checksum(out->data + start, out->size - start);
}

/* Generic Address Structure (5.2.3.2) of ports. */
static void gas(struct aml *out, uint16_t port, unsigned int bytes)
{
    aml_number(out, GAS_SYSTEM_IO, 1);
    aml_number(out, bytes * 8ull, 1);
    aml_number(out, 0, 1);
    aml_number(out, bytes == 1 ? 1 : bytes == 2 ? 2 : 3, 1); /* access size */
    aml_number(out, port, 8);
}

static void no_gas(struct aml *out, unsigned int count)
{
    for (; count > 0; count--) {
        aml_number(out, 0, 4);
        aml_number(out, 0, 8);
    }
}

/* 5.2.9 */
static size_t build_fadt(struct aml *out, uint64_t facs, uint64_t dsdt)
{
    size_t start = begin_table(out, "FACP", 6);

    aml_number(out, facs, 4);
    aml_number(out, dsdt, 4);
    aml_number(out, 0, 2); /* reserved; power management profile: unspecified */
    aml_number(out, PM_SCI, 2);
    aml_number(out, 0, 4 + 4); /* SMI_CMD 0: always in ACPI mode; its four commands */
    aml_number(out, PM1A_EVT, 4);
    aml_number(out, 0, 4);
    aml_number(out, PM1A_CNT, 4);
    aml_number(out, 0, 4);
    aml_number(out, 0, 4); /* PM2_CNT */
    aml_number(out, PM_TIMER, 4);
    aml_number(out, 0, 4 + 4); /* GPE0, GPE1 */
    aml_number(out, PM1A_EVT_LENGTH, 1);
    aml_number(out, PM1A_CNT_LENGTH, 1);
    aml_number(out, 0, 1);
    aml_number(out, PM_TIMER_LENGTH, 1);
    aml_number(out, 0, 4);     /* lengths of GPE0, GPE1; GPE1_BASE; CST_CNT */
    aml_number(out, 101, 2);   /* C2 latency above 100: no C2 */
    aml_number(out, 1001, 2);  /* C3 latency above 1000: no C3 */
    aml_number(out, 0, 4 + 2); /* flush size and stride, duty cycle */
    aml_number(out, 0, 2);     /* day and month alarm: none */
    aml_number(out, RTC_CENTURY, 1);
    aml_number(out, IAPC_LEGACY_DEVICES | IAPC_NO_VGA, 2);
    aml_number(out, 0, 1);
    aml_number(out,
               FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_VAL_EXT |
                   FADT_RESET_REG_SUP,
               4);
    gas(out, PM_RESET, 1);
    aml_number(out, PM_RESET_VALUE, 1);
    aml_number(out, 0, 2); /* Arm boot flags */
    aml_number(out, 4, 1); /* minor version */
    aml_number(out, 0, 8); /* X_FIRMWARE_CTRL: unused, there is the 32-bit one */
    aml_number(out, dsdt, 8);
    gas(out, PM1A_EVT, PM1A_EVT_LENGTH);
    no_gas(out, 1);
    gas(out, PM1A_CNT, PM1A_CNT_LENGTH);
    no_gas(out, 2); /* PM1b_CNT, PM2_CNT */
    gas(out, PM_TIMER, PM_TIMER_LENGTH);
    no_gas(out, 4);        /* GPE0, GPE1, sleep control and status */
    aml_number(out, 0, 8); /* hypervisor vendor */
    end_table(out, start);
    return start;
}

/* 5.2.10. No header of the usual kind, no checksum. */
static size_t build_facs(struct aml *out)
{
    size_t start;

    while (out->size % TABLE_ALIGN != 0 && !out->overflow)
        aml_number(out, 0, 1);
    start = out->size;
    aml_bytes(out, "FACS", 4);
    aml_number(out, FACS_SIZE, 4);
    for (int i = 0; i < 6; i++) /* signature, waking vector, lock, flags, 64-bit vector */
        aml_number(out, 0, 4);
    aml_number(out, 2, 1); /* version */
    for (int i = 33; i < FACS_SIZE; i++)
        aml_number(out, 0, 1);
    return start;
}

/* 5.2.12 */
static size_t build_madt(struct aml *out, const struct acpi_config *config)
{
    size_t start = begin_table(out, "APIC", 5);

    aml_number(out, config->lapic, 4);
    aml_number(out, 1, 4); /* PCAT_COMPAT: there are 8259s too */
    for (uint32_t i = 0; i < config->vcpu_count; i++) {
        aml_number(out, 0, 1); /* processor local APIC */
        aml_number(out, 8, 1);
        aml_number(out, i, 1); /* processor UID */
        aml_number(out, i, 1); /* APIC id */
        aml_number(out, 1, 4); /* enabled */
    }
    aml_number(out, 1, 1); /* I/O APIC */
    aml_number(out, 12, 1);
    aml_number(out, 0, 2); /* id, reserved */
    aml_number(out, config->ioapic, 4);
    aml_number(out, 0, 4); /* first GSI */

    aml_number(out, 2, 1); /* interrupt source override: the SCI is level, active high */
    aml_number(out, 10, 1);
    aml_number(out, 0, 1); /* ISA */
    aml_number(out, PM_SCI, 1);
    aml_number(out, PM_SCI, 4);
    aml_number(out, 0x0d, 2);

    aml_number(out, 4, 1); /* LINT1 of every local APIC is NMI */
    aml_number(out, 6, 1);
    aml_number(out, 0xff, 1);
    aml_number(out, 0, 2);
    aml_number(out, 1, 1);
    end_table(out, start);
    return start;
}

/* PCI Firmware Specification 3.3, 4.1.2 */
static size_t build_mcfg(struct aml *out, const struct acpi_config *config)
{
    size_t start = begin_table(out, "MCFG", 1);

    aml_number(out, 0, 8);
    aml_number(out, config->pci.ecam, 8);
    aml_number(out, 0, 2); /* segment */
    aml_number(out, 0, 2); /* first and last bus */
    aml_number(out, 0, 4);
    end_table(out, start);
    return start;
}

/* Which line each pin of each device is on (6.2.13), without link devices. */
static void build_prt(struct aml *out, const pci_config *pci)
{
    size_t table, entry;

    aml_name(out, "_PRT");
    table = aml_open_package(out, (PCI_DEVICES - 1) * 4);
    for (unsigned int device = 1; device < PCI_DEVICES; device++) {
        for (unsigned int pin = 0; pin < 4; pin++) {
            entry = aml_open_package(out, 4);
            aml_integer(out, device << 16 | 0xffff);
            aml_integer(out, pin);
            aml_integer(out, 0);
            aml_integer(out, pci_intx_gsi(pci, device, pin));
            aml_close(out, entry);
        }
    }
    aml_close(out, table);
}

static void build_pci(struct aml *out, const pci_config *pci)
{
    size_t device = aml_open_device(out, "PCI0");
    size_t resources;

    aml_name_eisa(out, "_HID", "PNP0A08"); /* PCI Express root bridge */
    aml_name_eisa(out, "_CID", "PNP0A03"); /* PCI root bridge */
    aml_name_integer(out, "_UID", 0);
    aml_name_integer(out, "_SEG", 0);
    aml_name_integer(out, "_BBN", 0);
    resources = aml_open_resources(out, "_CRS");
    aml_bus_range(out, 0, 0);
    aml_io(out, 0xcf8, 8);
    aml_port_range(out, 0, 0xcf7);
    aml_port_range(out, 0xd00, 0xffff);
    aml_memory_range(out, pci->window, pci->window + (pci->window_length - 1));
    aml_close_resources(out, resources);
    build_prt(out, pci);
    aml_close(out, device);

    /* The ECAM must be claimed by a motherboard device (PCI Firmware Specification, 4.1.2). */
    device = aml_open_device(out, "MRES");
    aml_name_eisa(out, "_HID", "PNP0C02");
    resources = aml_open_resources(out, "_CRS");
    aml_memory(out, (uint32_t)pci->ecam, PCI_ECAM_LENGTH);
    aml_close_resources(out, resources);
    aml_close(out, device);
}

static void build_legacy(struct aml *out, const struct acpi_config *config)
{
    char name[] = "COM1";
    size_t device, resources;

    for (unsigned int i = 0; i < ACPI_SERIAL_PORTS; i++) {
        if (config->serial[i].port == 0)
            continue;
        name[3] = (char)('1' + i);
        device = aml_open_device(out, name);
        aml_name_eisa(out, "_HID", "PNP0501"); /* 16550A */
        aml_name_integer(out, "_UID", i + 1);
        resources = aml_open_resources(out, "_CRS");
        aml_io(out, config->serial[i].port, 8);
        aml_irq(out, config->serial[i].irq);
        aml_close_resources(out, resources);
        aml_close(out, device);
    }
    if (config->rtc_port != 0) {
        device = aml_open_device(out, "RTC");
        aml_name_eisa(out, "_HID", "PNP0B00");
        resources = aml_open_resources(out, "_CRS");
        aml_io(out, config->rtc_port, 2);
        aml_close_resources(out, resources);
        aml_close(out, device);
    }
    if (config->pvpanic_port != 0) {
        device = aml_open_device(out, "PEVT");
        aml_name_string(out, "_HID", "QEMU0001");
        resources = aml_open_resources(out, "_CRS");
        aml_io(out, config->pvpanic_port, 1);
        aml_close_resources(out, resources);
        aml_close(out, device);
    }
}

static size_t build_dsdt(struct aml *out, const struct acpi_config *config)
{
    size_t start = begin_table(out, "DSDT", 2);
    size_t scope, package;

    scope = aml_open_scope(out, "\\_SB");
    build_pci(out, &config->pci);
    build_legacy(out, config);
    aml_close(out, scope);

    aml_name(out, "\\_S5"); /* 7.4.2.6: SLP_TYPa, SLP_TYPb */
    package = aml_open_package(out, 4);
    aml_integer(out, PM_S5);
    aml_integer(out, PM_S5);
    aml_integer(out, 0);
    aml_integer(out, 0);
    aml_close(out, package);
    end_table(out, start);
    return start;
}

/* 5.2.5.3 */
static void fill_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
    struct aml out = {.data = rsdp, .capacity = RSDP_SIZE};

    aml_bytes(&out, "RSD PTR ", 8);
    aml_number(&out, 0, 1);
    aml_bytes(&out, "VISOR ", 6);
    aml_number(&out, 2, 1); /* revision */
    aml_number(&out, 0, 4); /* no RSDT */
    aml_number(&out, RSDP_SIZE, 4);
    aml_number(&out, xsdt, 8);
    aml_number(&out, 0, 4);
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

int acpi_build(void *data, size_t capacity, const struct acpi_config *config, vmm_error *error)
{
    struct aml out = {.data = data, .capacity = capacity};
    const uint8_t zeros[RSDP_SIZE] = {0};
    size_t tables[3], xsdt, dsdt, facs;

    aml_bytes(&out, zeros, sizeof(zeros));
    dsdt = build_dsdt(&out, config);
    facs = build_facs(&out);
    tables[0] = build_fadt(&out, config->gpa + facs, config->gpa + dsdt);
    tables[1] = build_madt(&out, config);
    tables[2] = build_mcfg(&out, config);
    xsdt = begin_table(&out, "XSDT", 1);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        aml_number(&out, config->gpa + tables[i], 8);
    end_table(&out, xsdt);
    if (out.overflow)
        return vmm_fail(error, VISOR_ELIMIT, "the ACPI tables need more than %zu bytes", capacity);
    fill_rsdp(data, config->gpa + xsdt);
    return (int)out.size;
}
