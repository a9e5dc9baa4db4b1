/* SPDX-License-Identifier: BSD-3-Clause */
/* The small devices that a machine still has to have: clocks, i8042, ACPI registers, pvpanic. */
#ifndef VMM_DEVICES_PLATFORM_H
#define VMM_DEVICES_PLATFORM_H

#include "devices/device.h"

/*
 * A PC's clock: MC146818 real-time clock with 128 bytes of NVRAM at ports 0x70 and 0x71. Runs on
 * the host's UTC; the guest can set it (an offset is kept). Raises no interrupts. Century in
 * register 0x32.
 */
typedef struct rtc rtc;
#define RTC_CENTURY 0x32 /* FADT.CENTURY */

int rtc_create(rtc **out, const vmm_host *host, vmm_error *error);
void rtc_free(rtc *clock);
/* Presets an NVRAM byte (0x0e ... 0x7f). */
void rtc_set_nvram(rtc *clock, uint8_t index, uint8_t value);

/*
 * i8042 keyboard controller at ports 0x60 and 0x64 without keyboard or mouse: answers the
 * controller's self-test and configuration commands; command 0xfe asks for VMM_REQUEST_RESET. With
 * it comes system control port A (0x92), the other way to that line and to A20, which is always on.
 */
typedef struct i8042 i8042;
int i8042_create(i8042 **out, const vmm_host *host, vmm_error *error);
void i8042_free(i8042 *controller);

/*
 * Ends the machine with the exit status (value << 1) | 1 when a value is written there.
 */
#define DEBUG_EXIT_PORT   0xf4
#define DEBUG_EXIT_LENGTH 4
typedef struct debug_exit debug_exit;
int debug_exit_create(debug_exit **out, const vmm_host *host, vmm_error *error);
void debug_exit_free(debug_exit *device);

/*
 * ACPI fixed hardware (ACPI 6.4, chapter 4.8), always in ACPI mode: SMI_CMD is 0 in the FADT. The
 * power button is a fixed-feature one (FADT flag PWR_BUTTON clear). PM_TMR is 32 bits wide (FADT
 * flag TMR_VAL_EXT set) and raises no interrupt.
 */
#define PM1A_EVT        0x600 /* PM1a_EVT_BLK, PM1_EVT_LEN 4 */
#define PM1A_EVT_LENGTH 4
#define PM1A_CNT        0x604 /* PM1a_CNT_BLK, PM1_CNT_LEN 2 */
#define PM1A_CNT_LENGTH 2
#define PM_TIMER        0x608 /* PM_TMR_BLK, PM_TMR_LEN 4 */
#define PM_TIMER_LENGTH 4
#define PM_RESET        0xcf9 /* RESET_REG: system I/O, 8 bits wide (the PC's reset control register) */
#define PM_RESET_VALUE  0x06
#define PM_SCI          9 /* SCI_INT: level, as the MADT's override says: active high */
#define PM_S5           5 /* \_S5 = Package {5, 5, 0, 0} */

typedef struct pm pm;
/* After pci_bus_create(): port 0xcf9 lies inside the PCI configuration address register. */
int pm_create(pm **out, const vmm_host *host, vmm_error *error);
void pm_free(pm *block);
/* Presses the power button: an ACPI guest shuts down in order. Returns false if it does not
 * listen. Any thread. */
bool pm_power_button(pm *block);

/*
 * Arm's PrimeCell real-time clock PL031, in a page at `address`; and the one of the "goldfish"
 * machine, which RISC-V machines have. As rtc: the host's UTC, to be set by the guest, no
 * interrupts, so no alarms either.
 */
#define PL031_LENGTH        0x1000
#define GOLDFISH_RTC_LENGTH 0x1000

typedef struct pl031 pl031;
int pl031_create(pl031 **out, const vmm_host *host, uint64_t address, vmm_error *error);
void pl031_free(pl031 *clock);

typedef struct goldfish_rtc goldfish_rtc;
int goldfish_rtc_create(goldfish_rtc **out, const vmm_host *host, uint64_t address,
                        vmm_error *error);
void goldfish_rtc_free(goldfish_rtc *clock);

/* The panic device of QEMU, at a port that ACPI tells of ("QEMU0001") or an MMIO address that a
 * device tree does ("qemu,pvpanic-mmio"): VMM_REQUEST_PANIC. */
#define PVPANIC_PORT   0x505
#define PVPANIC_LENGTH 1

typedef struct pvpanic pvpanic;
int pvpanic_create(pvpanic **out, const vmm_host *host, visor_space space, uint64_t address,
                   vmm_error *error);
void pvpanic_free(pvpanic *device);

#endif
