/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command needs of the system as a process: one of each thing. */
#ifndef VMM_OS_PROCESS_H
#define VMM_OS_PROCESS_H

#include "os/os.h"

/* ---- standard streams: borrowed; VISOR_FILE_NONE: there is none ---- */
visor_file vmm_standard_input(void);
visor_file vmm_standard_output(void);
/* Called first: fills the places of closed ones, so that no file that is opened gets there. */
void vmm_standard_fill(void);

/* ---- the terminal ---- */
/*
 * Puts the terminal that standard input is into raw mode, if it is one and this process is in its
 * foreground; true if so. It is restored by terminal_restore(), at exit, and by fatal signals.
 * Again after a stop: whoever had the terminal meanwhile may have changed it.
 */
bool terminal_raw(void);
/* Safe in signal handlers. */
void terminal_restore(void);
bool terminal_is_raw(void);

/* ---- what the process is asked for from outside ---- */
enum vmm_signal {
    VMM_SIGNAL_NONE,
    VMM_SIGNAL_END,
    VMM_SIGNAL_STOP,      /* as by Ctrl-Z */
    VMM_SIGNAL_CONTINUED, /* it has been stopped, and goes on */
};

/* From now on they come here: all but those that the caller had ignored, as nohup(1) does. */
typedef struct vmm_signals vmm_signals;
int vmm_signals_take(vmm_signals **out, vmm_error *error);
/* Ready as long as there is one, for vmm_event_wait_any(). */
visor_event vmm_signals_event(const vmm_signals *signals);
enum vmm_signal vmm_signals_next(vmm_signals *signals);
/* What VMM_SIGNAL_STOP asks for; returns when somebody has let the process go on. */
void vmm_process_stop(void);
/* From now on they do what they did before. If one came that ends, it ends the process now. NULL:
 * nothing. */
void vmm_signals_free(vmm_signals *signals);

/* Bytes of RAM and of what may be swapped out; 0: not known. */
uint64_t vmm_host_memory(void);

#endif
