/* SPDX-License-Identifier: BSD-3-Clause */
/* Between registers and the bytes in memory (a64_data.c). */
#ifndef VISOR_ASSIST_A64_DATA_H
#define VISOR_ASSIST_A64_DATA_H

#include "assist/aarch64.h"

/* X[n], 0 for XZR. */
int visor__a64_get_x(uint64_t *out, const struct visor__a64_assist *assist, unsigned n);
/* Fills assist->data with what a store writes. */
int visor__a64_gather(struct visor__a64_assist *assist);
/* Puts what has been read into the registers of a load or an atomic. */
int visor__a64_scatter(struct visor__a64_assist *assist);
/* An atomic: keeps what has been read and puts what is to be written in its place. Returns 1, or 0
 * if nothing is to be written. */
int visor__a64_combine(struct visor__a64_assist *assist);

#endif
