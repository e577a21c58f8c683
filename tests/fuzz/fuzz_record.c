/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/record.h"
#include "target/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/*
 * What a target shows as its record, its metas and its islands. Whatever passes the check must be
 * safe to walk through.
 */

static void walk_meta(const struct upatch_meta *meta)
{
	volatile size_t sum = 0;

	for (uint32_t i = 0; i < meta->nr_objects; i++)
		sum += strlen(meta_string(meta, meta_objects(meta)[i].name));
	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		const struct upatch_meta_func *f = &meta_funcs(meta)[i];

		sum += strlen(meta_string(meta, f->name));
		for (uint32_t n = 0; n < f->nr_ranges; n++)
			sum += meta_ranges(meta)[f->first_range + n].size;
	}
}

static void fuzz_meta(struct target *target, const uint8_t *bytes, size_t size)
{
	struct upatch_meta *meta = malloc(size);

	memcpy(meta, bytes, size);
	if (record_check_meta(target, meta, size) == 0)
		walk_meta(meta);
	free(meta);
}

static void fuzz_island(struct target *target, const uint8_t *bytes, size_t size)
{
	struct upatch_island *island = malloc(size);
	volatile uint64_t sum = 0;

	memcpy(island, bytes, size);
	if (record_check_island(target, target->arch, island, size) == 0)
		for (uint32_t i = 0; i < island->nr_slots; i++)
			sum += island->slots[i].winner;
	free(island);
}

static void fuzz_head(struct target *target, const uint8_t *bytes, size_t size)
{
	struct upatch_record *head = calloc(1, sizeof(*head));

	memcpy(head, bytes, size < sizeof(*head) ? size : sizeof(*head));
	(void)record_check_head(target, head, head->self); /* it must return */
	free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct diag diag;
	struct target target = { .diag = &diag, .pid = 1, .arch = &arch_x86_64 };

	if (size < 1)
		return 0;
	diag_init(&diag);
	/* The first byte says which part the rest is. */
	switch (bytes[0] % 3) {
	case 0:
		fuzz_meta(&target, bytes + 1, size - 1);
		break;
	case 1:
		fuzz_island(&target, bytes + 1, size - 1);
		break;
	default:
		fuzz_head(&target, bytes + 1, size - 1);
	}
	diag_deinit(&diag);
	return 0;
}
