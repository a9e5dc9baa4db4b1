/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * visor: every hypervisor a program can meet, behind one API. This header includes all of it.
 *
 * Order of reading: <visor/base.h> for the conventions, <visor/hypervisor.h>, <visor/memory.h>,
 * <visor/vm.h>, <visor/vcpu.h>, then the architecture's own header.
 */
#ifndef VISOR_H
#define VISOR_H

#include <visor/aarch64.h>
#include <visor/base.h>
#include <visor/debug.h>
#include <visor/error.h>
#include <visor/hypervisor.h>
#include <visor/io.h>
#include <visor/irq.h>
#include <visor/memory.h>
#include <visor/riscv64.h>
#include <visor/snapshot.h>
#include <visor/vcpu.h>
#include <visor/vm.h>
#include <visor/x86_64.h>

#endif
