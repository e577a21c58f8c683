/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SOAK_VICTIM_WATCHFUL_H
#define SOAK_VICTIM_WATCHFUL_H

/* Loops that hold a known value in every register they can; see victim_watchful_hold.S. */

#include <stdint.h>

enum {
	NR_VECTORS = 32,
	VECTOR_SIZE = 64,
	NR_MASKS = 8,
};

/* Return: 0, or a value that shows which bits of any register changed. */
uint64_t hold_integers(uint64_t spins);
uint64_t hold_red_zone(uint64_t spins);

/* Load all registers from @in, spin, store them to @out. */
void hold_xmm(uint8_t *out, const uint8_t *in, uint64_t spins);
void hold_ymm(uint8_t *out, const uint8_t *in, uint64_t spins);
void hold_zmm(uint8_t *out, const uint8_t *in, uint64_t spins);
void hold_masks(uint64_t *out, const uint64_t *in, uint64_t spins);

#endif
