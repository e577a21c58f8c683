/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/laggards.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/record_check.h"
#include "livepatch/session.h"
#include "target/target.h"
#include "target/thread.h"

enum {
	KEY_NONE = 0,
	KEY_DROPPED = 1,
	TABLES = 2,
	BUCKETS_MIN = 16,
};

static uint64_t table_addr(const struct session *s, int index)
{
	return s->record.addr + UPATCH_LAGGARDS_OFFSET + (uint64_t)index * UPATCH_LAGGARDS_SIZE;
}

static int store_active(struct session *s, pid_t tracee, uint64_t active)
{
	return target_write(s->target, tracee,
			    s->record.addr + UPATCH_SWITCH_OFFSET +
				    offsetof(struct upatch_switch, active),
			    &active, sizeof(active));
}

static bool is_mask(uint64_t mask)
{
	return mask < UPATCH_LAGGARD_BUCKETS && (mask & (mask + 1)) == 0;
}

int laggards_read(struct session *session, struct laggards *ret)
{
	struct target *t = session->target;
	_cleanup_free_ struct upatch_laggards *table = malloc(sizeof(*table));
	struct upatch_switch word;
	int index = -1;
	int r;

	if (!table)
		return diag_oom(session->diag);
	r = target_read(t, session->record.addr + UPATCH_SWITCH_OFFSET, &word, sizeof(word));
	if (r < 0)
		return diag_err(session->diag, r, UPATCH_E_GONE, NULL, "cannot read its record");
	if (!word.active) {
		*ret = (struct laggards){ .index = -1 };
		return 0;
	}
	for (int i = 0; i < TABLES; i++)
		if (word.active == table_addr(session, i))
			index = i;
	if (index < 0)
		return record_raise_corrupt(t, "its table of laggards is at 0x%llx",
					    (unsigned long long)word.active);
	r = target_read(t, word.active, table, sizeof(*table));
	if (r < 0)
		return diag_err(session->diag, r, UPATCH_E_GONE, NULL, "cannot read its record");
	if (!is_mask(table->mask) || table->invert > 1 || table->null_tp > 1)
		return record_raise_corrupt(t, "its table of laggards has a wrong head");
	*ret = (struct laggards){ .table = take_ptr(table), .index = index };
	return 0;
}

void laggards_deinit(struct laggards *laggards)
{
	free(laggards->table);
	*laggards = (struct laggards){ .index = -1 };
}

uint64_t laggards_key(const struct session *session, const struct thread *thread)
{
	uint64_t tp = regs_tp(&thread->regs), word;

	if (session->record.head->slot_flags & ARCH_SLOT_RAW_TP)
		return tp;
	return target_read(session->target, tp, &word, sizeof(word)) < 0 ? 0 : word;
}

/* Bucket of a key, or -ENOENT. The bound is for tables that the target has scribbled over. */
static int find(const struct upatch_laggards *table, uint64_t key)
{
	uint64_t at = upatch_laggards_hash(key) & table->mask;

	for (uint64_t i = 0; i <= table->mask; i++, at = (at + 1) & table->mask) {
		if (table->keys[at] == key)
			return (int)at;
		if (table->keys[at] == KEY_NONE)
			break;
	}
	return -ENOENT;
}

bool laggards_has(const struct laggards *laggards, uint64_t key)
{
	if (!laggards->table)
		return false;
	return key ? find(laggards->table, key) >= 0 : laggards->table->null_tp;
}

int laggards_list(const struct session *session, const struct laggards *laggards,
		  struct laggard **ret, size_t *ret_nr)
{
	const struct upatch_laggards *table = laggards->table;
	size_t nr = 0, alloc = 0;
	struct laggard *list = NULL;

	if (!array_grow(list, nr, alloc))
		return diag_oom(session->diag);
	if (table && table->null_tp)
		list[nr++] = (struct laggard){};
	for (uint64_t i = 0; table && i <= table->mask; i++) {
		if (table->keys[i] <= KEY_DROPPED)
			continue;
		if (!array_grow(list, nr, alloc)) {
			free(list);
			return diag_oom(session->diag);
		}
		list[nr++] = (struct laggard){ table->keys[i], (pid_t)table->tids[i] };
	}
	*ret = list;
	*ret_nr = nr;
	return 0;
}

/* Two threads with one key are one laggard, which switches when both may. */
static void add(struct upatch_laggards *table, const struct laggard *laggard)
{
	uint64_t at = upatch_laggards_hash(laggard->key) & table->mask;

	if (!laggard->key) {
		table->null_tp = 1;
		return;
	}
	while (table->keys[at] != KEY_NONE && table->keys[at] != laggard->key)
		at = (at + 1) & table->mask;
	table->tids[at] = table->keys[at] == laggard->key ? 0 : (uint32_t)laggard->tid;
	table->keys[at] = laggard->key;
}

/* The used parts of a table: head and keys are side by side. */
static int store_table(struct session *s, int index, pid_t tracee,
		       const struct upatch_laggards *table)
{
	uint64_t addr = table_addr(s, index), nr = table->mask + 1;
	int r;

	r = target_write(s->target, tracee, addr, table,
			 offsetof(struct upatch_laggards, keys) + nr * sizeof(table->keys[0]));
	if (r >= 0)
		r = target_write(s->target, tracee, addr + offsetof(struct upatch_laggards, tids),
				 table->tids, nr * sizeof(table->tids[0]));
	return r;
}

int laggards_replace(struct session *session, struct laggards *laggards, pid_t tracee,
		     const struct laggard *list, size_t nr, uint64_t invert)
{
	_cleanup_free_ struct upatch_laggards *table = calloc(1, sizeof(*table));
	int index = laggards->index == 0 ? 1 : 0;
	uint64_t buckets = BUCKETS_MIN;
	int r;

	if (!table)
		return diag_oom(session->diag);
	/* A quarter full, so that most searches end at once; half full when there are that many. */
	while (buckets < 4 * nr && buckets < UPATCH_LAGGARD_BUCKETS)
		buckets *= 2;
	if (buckets < 2 * nr)
		return LAGGARDS_TOO_MANY;
	table->mask = buckets - 1;
	table->invert = invert;
	for (size_t i = 0; i < nr; i++)
		add(table, &list[i]);
	r = store_table(session, index, tracee, table);
	if (r >= 0)
		r = store_active(session, tracee, table_addr(session, index));
	if (r < 0)
		return r;
	laggards_deinit(laggards);
	*laggards = (struct laggards){ .table = take_ptr(table), .index = index };
	return 0;
}

/*
 * Other threads may search the table meanwhile. While the store is under way they may see a part of
 * it: that is no other thread's key, because its lowest byte, stored first or last, is no multiple
 * of a thread control block's alignment, and it is never 0.
 */
int laggards_drop(struct session *session, struct laggards *laggards, pid_t tracee, uint64_t key)
{
	static const uint64_t dropped = KEY_DROPPED, none = 0;
	struct upatch_laggards *table = laggards->table;
	uint64_t addr = table_addr(session, laggards->index);
	int at;

	if (!key) {
		table->null_tp = 0;
		return target_write(session->target, tracee,
				    addr + offsetof(struct upatch_laggards, null_tp), &none,
				    sizeof(none));
	}
	at = find(table, key);
	if (at < 0)
		return 0;
	table->keys[at] = KEY_DROPPED;
	return target_write(session->target, tracee,
			    addr + offsetof(struct upatch_laggards, keys) +
				    (uint64_t)at * sizeof(dropped),
			    &dropped, sizeof(dropped));
}

int laggards_forget(struct session *session, struct laggards *laggards, pid_t tracee)
{
	laggards_deinit(laggards);
	return store_active(session, tracee, 0);
}
