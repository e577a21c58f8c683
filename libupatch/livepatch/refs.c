/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/refs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/target.h"

enum {
	CHUNK = 1 << 20,
};

struct search {
	const struct refs_query *query;
	uint64_t low;
	uint64_t high;
	uint64_t *stack_pointers; /* sorted */
	size_t nr_stack_pointers;
	uint64_t *buf;	/* CHUNK bytes */
	int pagemap_fd; /* or negative */
};

static bool is_reference(const struct search *search, uint64_t word)
{
	/* Nearly all words fail here. */
	if (word < search->low || word >= search->high)
		return false;
	for (size_t i = 0; i < search->query->nr; i++)
		if (word >= search->query->ranges[i].start && word < search->query->ranges[i].end)
			return true;
	return false;
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * Where the threads' stacks end. The stop that found nobody in the code concerned has told; a run
 * that carries on after another one has had none and stops the threads for it: in the dead part of
 * a stack there are return addresses for long, and what /proc tells of a thread that runs is
 * nothing. A reference that is made since comes from one that is elsewhere, and found there.
 */
static int read_stack_pointers(struct session *s, struct search *search)
{
	struct freeze freeze;
	int r;

	if (!s->stack_pointers) {
		r = session_freeze(s, &freeze);
		if (r < 0)
			return r;
		session_remember_stacks(s, &freeze);
		freeze_thaw(&freeze);
	}
	search->stack_pointers = calloc(s->nr_stack_pointers + 1, sizeof(uint64_t));
	if (!s->stack_pointers || !s->registers || !search->stack_pointers)
		return diag_oom(s->diag);
	search->nr_stack_pointers = s->nr_stack_pointers;
	memcpy(search->stack_pointers, s->stack_pointers, s->nr_stack_pointers * sizeof(uint64_t));
	qsort(search->stack_pointers, search->nr_stack_pointers, sizeof(uint64_t), compare_words);
	return 0;
}

/* The first byte of a mapping that can matter: above the dead part, when it is a thread's stack. */
static uint64_t first_live(const struct search *search, const struct mapping *m)
{
	uint64_t found = m->start;
	size_t inside = 0;

	for (size_t i = 0; i < search->nr_stack_pointers; i++) {
		if (search->stack_pointers[i] < m->start || search->stack_pointers[i] >= m->end)
			continue;
		found = search->stack_pointers[i];
		inside++;
	}
	/* Two threads' stacks, or a heap with stacks in it: no part is known to be dead. */
	return inside == 1 && (strcmp(m->path, "[stack]") == 0 || !*m->path)
		       ? ALIGN_DOWN(found, (uint64_t)8)
		       : m->start;
}

/*
 * Of [*at, *at + size): step over pages that the target has never written to, which are zero, and
 * return the length of the run behind them. Reading those would take long, there are gigabytes of
 * them in stacks and arenas, and would make the kernel map them.
 */
static uint64_t skip_untouched(const struct search *search, uint64_t *at, uint64_t size)
{
	uint64_t entries[CHUNK / UPATCH_PAGE_SIZE + 1], end = *at + size;
	uint64_t page = *at / UPATCH_PAGE_SIZE, nr = (end - 1) / UPATCH_PAGE_SIZE - page + 1;
	ssize_t n = pread(search->pagemap_fd, entries, nr * sizeof(*entries),
			  (off_t)(page * sizeof(*entries)));
	uint64_t first = 0, last;

	if (n != (ssize_t)(nr * sizeof(*entries)))
		return size; /* not known: look at all of it */
	/* Bit 63: present, 62: swapped out. Documentation/admin-guide/mm/pagemap.rst. */
	while (first < nr && !(entries[first] >> 62))
		first++;
	last = first;
	while (last < nr && entries[last] >> 62)
		last++;
	*at = MAX(*at, MIN((page + first) * UPATCH_PAGE_SIZE, end));
	return MIN((page + last) * UPATCH_PAGE_SIZE, end) - *at;
}

/* In a payload's own data, which goes with its code; what libgcc knows of it is there, too. */
static bool is_in_payload(const struct session *s, uint64_t addr)
{
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *region = &s->record.head->regions[i];

		if (region->state == UPATCH_REGION_MAPPED &&
		    region->kind == UPATCH_REGION_PAYLOAD && addr >= region->addr &&
		    addr - region->addr < region->size)
			return true;
	}
	return false;
}

/* Return: 0; 1 with @ret_addr; what cannot be read has gone, and refers to nothing. */
static int search_run(struct session *s, const struct search *search, uint64_t at, uint64_t size,
		      uint64_t *ret_addr)
{
	struct iovec local = { search->buf, size };
	struct iovec remote = { (void *)(uintptr_t)at, size };
	ssize_t n = process_vm_readv(s->target->tid, &local, 1, &remote, 1, 0);

	for (ssize_t i = 0; i < n / 8; i++) {
		if (!is_reference(search, search->buf[i]) || is_in_payload(s, at + (uint64_t)i * 8))
			continue;
		*ret_addr = at + (uint64_t)i * 8;
		return 1;
	}
	return 0;
}

/*
 * A callback that a thread carries to where it will be called from, and has nowhere else: passed on
 * in a tail call, it leaves no frame behind.
 */
static bool is_in_register(const struct session *s, const struct search *search)
{
	for (size_t i = 0; i < s->nr_registers; i++)
		if (is_reference(search, s->registers[i]))
			return true;
	return false;
}

/*
 * Shared memory has a file, too. What is written to a device is no pointer, and opening one may have effects.
 * Return: or -1.
 */
static int open_shared(const struct session *s, const struct mapping *m)
{
	struct stat st;
	char path[64];

	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)m->start,
		       (unsigned long long)m->end);
	if (!m->is_shared || fstatat(s->target->procfd, path, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return openat(s->target->procfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/*
 * As skip_untouched(), of a file: others may have written what the target has not looked at yet, and
 * reading what nobody has would make the kernel provide it, in gigabytes. lseek(2), "Seeking file data and holes".
 */
static uint64_t skip_hole(const struct mapping *m, int fd, uint64_t *at, uint64_t size)
{
	uint64_t from = m->offset + (*at - m->start), end = m->offset + (m->end - m->start);
	off_t data = lseek(fd, (off_t)from, SEEK_DATA), hole;

	if ((data < 0 && errno != ENXIO) || (data >= 0 && (uint64_t)data < from))
		return size; /* not known: look at all of it */
	if (data < 0 || (uint64_t)data >= end) {
		*at = m->end;
		return 0;
	}
	*at += (uint64_t)data - from;
	size = MIN((uint64_t)CHUNK, m->end - *at);
	hole = lseek(fd, data, SEEK_HOLE);
	return hole > data ? MIN(size, (uint64_t)(hole - data)) : size;
}

/* Return: REFS_*. */
static int search_mapping(struct session *s, const struct search *search, const struct mapping *m,
			  uint64_t *ret_addr)
{
	bool is_sparse = search->pagemap_fd >= 0 && !m->inode && !m->is_shared;
	_cleanup_close_ int fd = open_shared(s, m);

	for (uint64_t at = first_live(search, m); at < m->end;) {
		uint64_t size = MIN((uint64_t)CHUNK, m->end - at);

		if (deadline_is_over(search->query->deadline))
			return REFS_UNKNOWN;
		if (is_sparse)
			size = skip_untouched(search, &at, size);
		else if (fd >= 0)
			size = skip_hole(m, fd, &at, size);
		if (size && search_run(s, search, at, size, ret_addr))
			return REFS_FOUND;
		at += size;
	}
	return REFS_NONE;
}

/* A stack that the C library, or the kernel, made for a thread, and that the thread is on. */
static bool is_own_stack(const struct session *s, const struct mapping *m)
{
	for (size_t i = 0; i < s->nr_stack_pointers; i++) {
		uint64_t sp = s->stack_pointers[i], tp = s->thread_pointers[i];

		if (sp >= m->start && sp < m->end &&
		    (strcmp(m->path, "[stack]") == 0 || (tp > sp && tp < m->end)))
			return true;
	}
	return false;
}

int refs_search(struct session *session, const struct refs_query *query, uint64_t *ret_addr)
{
	struct search search = { .query = query, .low = UINT64_MAX };
	_cleanup_(maps_deinit) struct maps maps = {};
	_cleanup_free_ uint64_t *buf = malloc(CHUNK);
	_cleanup_close_ int pagemap_fd =
		openat(session->target->procfd, "pagemap", O_RDONLY | O_CLOEXEC);
	int r;

	if (!buf)
		return diag_oom(session->diag);
	search.buf = buf;
	search.pagemap_fd = pagemap_fd;
	for (size_t i = 0; i < query->nr; i++) {
		search.low = MIN(search.low, query->ranges[i].start);
		search.high = MAX(search.high, query->ranges[i].end);
	}
	r = read_stack_pointers(session, &search);
	if (r >= 0 && !(query->flags & REFS_SUSPENDED) && is_in_register(session, &search)) {
		*ret_addr = 0;
		r = REFS_FOUND;
	}
	if (r == 0)
		r = target_maps(session->target, &maps);
	for (size_t i = 0; i < maps.nr && r == 0; i++) {
		const struct mapping *m = &maps.mappings[i];

		if (!(m->prot & PROT_WRITE) || !(m->prot & PROT_READ))
			continue;
		if (query->flags & REFS_SUSPENDED && is_own_stack(session, m))
			continue;
		r = search_mapping(session, &search, m, ret_addr);
	}
	free(search.stack_pointers);
	return r;
}
