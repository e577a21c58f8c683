/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/region.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "target/place.h"
#include "target/target.h"

enum {
	TRIES = 16,
	NAME_ROOM = 32,	      /* at the end of a region, for the name while it is set */
	SET_VMA = 0x53564d41, /* PR_SET_VMA, PR_SET_VMA_ANON_NAME: prctl(2), since Linux 5.17 */
	SET_VMA_ANON_NAME = 0,
};

static const uint64_t highest_addr = 0x7fff00000000;

static const char *const names[] = {
	[0] = "upatch:record",
	[UPATCH_REGION_META] = "upatch:meta",
	[UPATCH_REGION_PAYLOAD] = "upatch:payload",
	[UPATCH_REGION_ISLAND] = "upatch:island",
	[UPATCH_REGION_AGENT] = "upatch:agent",
	[UPATCH_REGION_TEMPLATE] = "upatch:template",
	[UPATCH_REGION_HOOKS] = "upatch:hooks",
};

static uint64_t random_number(void)
{
	uint64_t value = 0;

	/* Without randomness the places are easier to guess, and as good. */
	(void)getrandom(&value, sizeof(value), GRND_NONBLOCK);
	return value;
}

static int call(struct session *s, struct rcall *rcall, long nr, const uint64_t args[6],
		const char *what)
{
	int64_t result;
	int r;

	r = rcall_syscall(rcall, nr, args, &result);
	if (r < 0)
		return r;
	if (result < 0 && result >= -4095)
		return diag_err(s->diag, (int)result, UPATCH_E_RCALL, NULL, "%s failed in it: %s",
				what, strerror((int)-result));
	return 0;
}

static int call_mprotect(struct session *s, struct rcall *rcall, uint64_t addr, uint64_t size,
			 int prot)
{
	const uint64_t args[6] = { addr, size, (uint64_t)prot };

	return size ? call(s, rcall, SYS_mprotect, args, "mprotect(2)") : 0;
}

static int call_munmap(struct session *s, struct rcall *rcall, uint64_t addr, uint64_t size)
{
	const uint64_t args[6] = { addr, size };

	return call(s, rcall, SYS_munmap, args, "munmap(2)");
}

/* Return: 0; 1 when something else is there by now; -errno raised. */
static int call_mmap(struct session *s, struct rcall *rcall, uint64_t addr, uint64_t size, int prot)
{
	const uint64_t args[6] = {
		addr,		size,
		(uint64_t)prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		(uint64_t)-1,	0
	};
	int64_t result;
	int r;

	r = rcall_syscall(rcall, SYS_mmap, args, &result);
	if (r < 0)
		return r;
	if (result == -EEXIST)
		return 1;
	if (result < 0 && result >= -4095)
		return diag_err(s->diag, (int)result, UPATCH_E_RCALL, NULL,
				"mmap(2) of %llu bytes failed in it: %s", (unsigned long long)size,
				strerror((int)-result));
	if ((uint64_t)result != addr) {
		/* Before Linux 4.17 the address is only a hint. */
		(void)call_munmap(s, rcall, (uint64_t)result, size); /* reports itself */
		return 1;
	}
	return 0;
}

/* Name it for /proc/PID/maps. A kernel that cannot leaves it without a name, which costs nothing
 * but clarity. */
static int set_name(struct session *s, struct rcall *rcall, uint64_t addr, uint64_t size,
		    const char *name)
{
	const uint64_t name_addr = addr + size - NAME_ROOM;
	const uint64_t args[6] = { SET_VMA, SET_VMA_ANON_NAME, addr, size, name_addr };
	static const char zeroes[NAME_ROOM];
	int64_t result;
	int r;

	r = target_write(s->target, rcall->thread->tid, name_addr, name, strlen(name) + 1);
	if (r >= 0)
		r = rcall_syscall(rcall, SYS_prctl, args, &result);
	if (r >= 0)
		r = target_write(s->target, rcall->thread->tid, name_addr, zeroes,
				 strlen(name) + 1);
	return r;
}

/* --- the record ------------------------------------------------------------------------------- */

static int write_record_head(struct session *s, pid_t tracee)
{
	struct record *record = &s->record;
	const struct upatch_laggards laggards = { .mask = UPATCH_LAGGARD_BUCKETS - 1 };
	int r;

	memcpy(record->head->magic, UPATCH_RECORD_MAGIC, sizeof(record->head->magic));
	record->head->version = UPATCH_ABI_VERSION;
	record->head->size = sizeof(*record->head);
	record->head->self = record->addr;
	record->head->next_seq = 1;
	record->head->slot_flags =
		s->target->arch->slot_flags(proc_read_auxv(s->target->threadfd, AT_HWCAP2));
	r = target_write(s->target, tracee, record->addr + UPATCH_LAGGARDS_OFFSET, &laggards,
			 sizeof(laggards));
	if (r < 0)
		return r;
	/* All else is zero, as mapped. */
	return record_store(record, tracee, record->head, offsetof(struct upatch_record, patches));
}

int region_map_record(struct session *session, struct rcall *rcall)
{
	struct record *record = &session->record;
	uint64_t addr = record->addr;
	int r = 1;

	if (addr) {
		/* An earlier run came this far. */
		if (record->head->magic[0])
			return 0;
		return write_record_head(session, rcall->thread->tid);
	}
	record->head = calloc(1, sizeof(*record->head));
	if (!record->head)
		return diag_oom(session->diag);
	for (int i = 0; i < TRIES && r > 0; i++) {
		addr = (random_number() % highest_addr &
			~((1ull << UPATCH_RECORD_ALIGN_BITS) - 1)) |
		       UPATCH_RECORD_ADDR_LOW;
		if (addr < 1ull << 32)
			continue;
		r = call_mmap(session, rcall, addr, UPATCH_RECORD_SIZE, PROT_READ);
	}
	if (r > 0)
		r = diag_err(session->diag, -ENOSPC, UPATCH_E_NO_ROOM, NULL,
			     "found no free address for the record");
	if (r < 0) {
		free(take_ptr(record->head));
		return r;
	}
	record->addr = addr;
	r = set_name(session, rcall, addr, UPATCH_RECORD_SIZE, names[0]);
	if (r < 0)
		return r;
	return write_record_head(session, rcall->thread->tid);
}

int region_unmap_record(struct session *session, struct rcall *rcall)
{
	int r;

	r = call_munmap(session, rcall, session->record.addr, UPATCH_RECORD_SIZE);
	if (r < 0)
		return r;
	record_deinit(&session->record);
	session->record.target = session->target;
	return 0;
}

/* --- regions ---------------------------------------------------------------------------------- */

/* All fields before the state, which makes them count. */
static int announce(struct session *s, pid_t tracee, int index, const struct upatch_region *region)
{
	struct upatch_region *entry = &s->record.head->regions[index];
	int r;

	*entry = *region;
	entry->state = UPATCH_REGION_FREE;
	r = record_store(&s->record, tracee, entry, sizeof(*entry));
	if (r < 0)
		return r;
	return record_set_region_state(&s->record, tracee, (size_t)index, UPATCH_REGION_RESERVED);
}

/* Regions that were made since the mappings were looked at. */
static bool is_announced(const struct record *record, uint64_t addr, uint64_t size)
{
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *region = &record->head->regions[i];

		if (region->state != UPATCH_REGION_FREE && addr < region->addr + region->size &&
		    region->addr < addr + size)
			return true;
	}
	return false;
}

static int find_place_in(const struct maps *maps, const struct upatch_region *want,
			 const struct place_near *near, uint64_t *ret)
{
	static const struct place_near anywhere = {
		.start = 1ull << 46,
		.end = 1ull << 46,
		.reach = 1ull << 46,
	};

	int r;

	/* A page apart from all others: the kernel would make one mapping of two that look the same. */
	r = place_find(maps, near ? near : &anywhere, want->size + 2 * UPATCH_PAGE_SIZE,
		       random_number(), ret);
	if (r >= 0)
		*ret += UPATCH_PAGE_SIZE;
	return r;
}

/*
 * The mappings as they were when the operation began will mostly do, and mmap(2) refuses what was
 * taken since: looking again takes long when there are many, and the borrowed thread waits.
 */
static int find_place(struct session *s, const struct upatch_region *want,
		      const struct place_near *near, int attempt, uint64_t *ret)
{
	_cleanup_(maps_deinit) struct maps maps = {};
	int r;

	if (attempt == 0 && find_place_in(&s->maps, want, near, ret) == 0 &&
	    !is_announced(&s->record, *ret - UPATCH_PAGE_SIZE, want->size + 2 * UPATCH_PAGE_SIZE))
		return 0;
	r = target_maps(s->target, &maps);
	if (r < 0)
		return r;
	r = find_place_in(&maps, want, near, ret);
	if (r < 0)
		return diag_err(s->diag, r, UPATCH_E_NO_ROOM, NULL,
				"found no %llu free bytes within reach of 0x%llx-0x%llx",
				(unsigned long long)want->size,
				(unsigned long long)(near ? near->start : 0),
				(unsigned long long)(near ? near->end : 0));
	return 0;
}

/* Executable first, then less: a mapping that was not executable may not be allowed to become so. */
static int protect(struct session *s, struct rcall *rcall, const struct upatch_region *region)
{
	uint64_t ro_addr = region->addr + region->text_size;
	uint64_t rw_addr = ro_addr + region->ro_size;
	int r = 0;

	if (region->text_size)
		r = call_mprotect(s, rcall, ro_addr, region->ro_size, PROT_READ);
	if (r >= 0)
		r = call_mprotect(s, rcall, rw_addr, region->addr + region->size - rw_addr,
				  PROT_READ | PROT_WRITE);
	return r;
}

int region_map(struct session *session, struct rcall *rcall, const struct upatch_region *want,
	       const struct place_near *near, int *ret_index)
{
	struct upatch_region region = *want;
	pid_t tracee = rcall->thread->tid;
	int prot = PROT_READ | (want->text_size ? PROT_EXEC : 0);
	int index = record_free_region(&session->record);
	int r = 1;

	if (index < 0)
		return index;
	for (int i = 0; i < TRIES && r > 0; i++) {
		r = find_place(session, want, near, i, &region.addr);
		if (r >= 0)
			r = announce(session, tracee, index, &region);
		if (r >= 0)
			r = call_mmap(session, rcall, region.addr, region.size, prot);
	}
	if (r > 0)
		r = diag_err(session->diag, -ENOSPC, UPATCH_E_NO_ROOM, NULL,
			     "the target maps faster than we find room");
	if (r < 0)
		goto err_announced;
	r = set_name(session, rcall, region.addr, region.size, names[region.kind]);
	if (r >= 0)
		r = protect(session, rcall, &region);
	if (r >= 0)
		r = record_set_region_state(&session->record, tracee, (size_t)index,
					    UPATCH_REGION_MAPPED);
	if (r < 0)
		goto err_mapped;
	*ret_index = index;
	return 0;

err_mapped:
	(void)call_munmap(session, rcall, region.addr, region.size); /* the record still has it */
err_announced:
	(void)record_set_region_state(&session->record, tracee, (size_t)index,
				      UPATCH_REGION_FREE); /* reports itself */
	return r;
}

/* Is all that is mapped in the region ours? */
static bool is_ours_in(const struct maps *maps, const struct upatch_region *region)
{
	bool found = false;

	for (size_t i = 0; i < maps->nr; i++) {
		const struct mapping *m = &maps->mappings[i];

		if (m->end <= region->addr || m->start >= region->addr + region->size)
			continue;
		if (m->start < region->addr || m->end > region->addr + region->size || m->inode ||
		    m->is_shared || (*m->path && strncmp(m->path, "[anon:upatch:", 13) != 0))
			return false;
		found = true;
	}
	return found;
}

/*
 * It was announced, but the mapping may not have been made, and the target may have put something
 * of its own there. What was there when the operation began still is; what was made since, or is
 * on its way, is looked up, while the borrowed thread waits.
 */
static int is_ours(struct session *s, const struct upatch_region *region)
{
	_cleanup_(maps_deinit) struct maps maps = {};
	int r;

	if (is_ours_in(&s->maps, region))
		return 1;
	r = target_maps(s->target, &maps);
	return r < 0 ? r : is_ours_in(&maps, region);
}

int region_unmap(struct session *session, struct rcall *rcall, size_t index)
{
	const struct upatch_region *region = &session->record.head->regions[index];
	pid_t tracee = rcall->thread->tid;
	int r;

	r = record_set_region_state(&session->record, tracee, index, UPATCH_REGION_RESERVED);
	if (r >= 0)
		r = is_ours(session, region);
	if (r > 0)
		r = call_munmap(session, rcall, region->addr, region->size);
	if (r >= 0)
		r = record_set_region_state(&session->record, tracee, index, UPATCH_REGION_FREE);
	return r;
}
