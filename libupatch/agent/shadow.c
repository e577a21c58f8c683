/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/agent.h"

/*
 * Shadow variables: klp's, for user space. A hash table of chains.
 *
 * Readers take no lock. They count themselves in, under one of two phases, and out again. A variable
 * that was taken out of its chain is retired: its memory is given back when the phase in which that
 * happened is over and all who counted themselves in during it are out, by when nobody can stand on
 * it. The phase changes only when no reader of the one before is left, so two counters are enough.
 *
 * Each change of a chain is one store, so that a reader, and a child forked by another thread, finds
 * it whole.
 */

struct shadow {
	struct shadow *next; /* in the chain; kept while it is retired, readers go on from it */
	struct shadow *next_retired;
	void *obj;
	unsigned long id;
	uint8_t data[];
};

_Static_assert(sizeof(struct shadow) % 16 == 0, "variables are aligned as malloc's memory");

enum {
	NR_CHAINS_BITS = 12,
	NR_CHAINS = 1 << NR_CHAINS_BITS,
};

struct upatch_agent_data agent_data __attribute__((section(".upatch.data")));
static struct shadow *chains[NR_CHAINS];
static struct shadow *retired[2];
static uint32_t phase; /* 0 or 1 */

void *upatch_shadow_get(void *obj, unsigned long id);
void *upatch_shadow_alloc(void *obj, unsigned long id, size_t size, agent_ctor ctor,
			  void *ctor_data);
void *upatch_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, agent_ctor ctor,
				 void *ctor_data);
void upatch_shadow_free(void *obj, unsigned long id, agent_dtor dtor);
void upatch_shadow_free_all(unsigned long id, agent_dtor dtor);

/* --- readers ------------------------------------------------------------------------------------ */

static void count_out(uint32_t of_phase)
{
	uint32_t *readers = &agent_fork.readers[of_phase];
	uint32_t nr = __atomic_load_n(readers, __ATOMIC_RELAXED);

	/* 0 when a signal handler forked while this thread was in here, and the child returned. */
	while (nr && !__atomic_compare_exchange_n(readers, &nr, nr - 1, 0, __ATOMIC_SEQ_CST,
						  __ATOMIC_RELAXED))
		continue;
}

static uint32_t count_in(void)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&phase, __ATOMIC_SEQ_CST);

		__atomic_fetch_add(&agent_fork.readers[seen], 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) == seen)
			return seen;
		count_out(seen); /* it changed before we were counted */
	}
}

/* --- retired variables: under the lock ---------------------------------------------------------- */

static void retire(struct shadow *shadow)
{
	shadow->next_retired = retired[phase];
	__atomic_store_n(&retired[phase], shadow, __ATOMIC_SEQ_CST);
}

/* What was retired in the phase before can go, once its readers are out. */
static void next_phase(void)
{
	uint32_t before = !phase;
	struct shadow *shadow = retired[before];

	if (__atomic_load_n(&agent_fork.readers[before], __ATOMIC_SEQ_CST))
		return;
	__atomic_store_n(&retired[before], NULL, __ATOMIC_SEQ_CST);
	while (shadow) {
		struct shadow *next = shadow->next_retired;

		memory_free(shadow);
		shadow = next;
	}
	__atomic_store_n(&phase, before, __ATOMIC_SEQ_CST);
}

/*
 * No variable is left, but memory is: it must not depend on a next call that it is given back. Who
 * leaves last, the reader or the one that changed something, sees to it.
 */
static bool has_leftovers(void)
{
	return !__atomic_load_n(&agent_data.nr_shadows, __ATOMIC_SEQ_CST) &&
	       (__atomic_load_n(&retired[0], __ATOMIC_SEQ_CST) ||
		__atomic_load_n(&retired[1], __ATOMIC_SEQ_CST)) &&
	       !__atomic_load_n(&agent_fork.readers[0], __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&agent_fork.readers[1], __ATOMIC_SEQ_CST);
}

/* --- the lock ----------------------------------------------------------------------------------- */

/* Another thread of the parent was changing something when this process was forked. */
static void settle_inheritance(void)
{
	uint64_t nr = 0;

	retired[0] = retired[1] = NULL;
	memory_abandon();
	for (size_t i = 0; i < NR_CHAINS; i++)
		for (const struct shadow *shadow = chains[i]; shadow; shadow = shadow->next)
			nr++;
	__atomic_store_n(&agent_data.nr_shadows, nr, __ATOMIC_SEQ_CST);
}

static bool lock(uint64_t *ret_signals)
{
	enum agent_lock_outcome outcome = agent_lock(ret_signals);

	if (outcome == AGENT_LOCK_INHERITED)
		settle_inheritance();
	return outcome != AGENT_LOCK_FAILED;
}

static void tidy(void)
{
	uint64_t signals;

	while (has_leftovers()) {
		enum agent_lock_outcome outcome = agent_trylock(&signals);

		if (outcome == AGENT_LOCK_FAILED)
			return; /* who holds it comes here next */
		if (outcome == AGENT_LOCK_INHERITED)
			settle_inheritance();
		next_phase();
		next_phase();
		agent_unlock(signals);
	}
}

static void unlock(uint64_t signals)
{
	next_phase();
	if (!agent_data.nr_shadows)
		next_phase();
	agent_unlock(signals);
	tidy();
}

/* --- chains ------------------------------------------------------------------------------------- */

static struct shadow **chain_of(const void *obj)
{
	/* Fibonacci hashing: the upper bits of the product depend on all of the address. */
	return &chains[(uint64_t)(uintptr_t)obj * 0x9e3779b97f4a7c15 >> (64 - NR_CHAINS_BITS)];
}

static struct shadow *find(const void *obj, unsigned long id)
{
	struct shadow *shadow = __atomic_load_n(chain_of(obj), __ATOMIC_ACQUIRE);

	while (shadow && (shadow->obj != obj || shadow->id != id))
		shadow = __atomic_load_n(&shadow->next, __ATOMIC_ACQUIRE);
	return shadow;
}

static void insert(struct shadow *shadow)
{
	struct shadow **chain = chain_of(shadow->obj);

	shadow->next = *chain;
	__atomic_store_n(chain, shadow, __ATOMIC_RELEASE);
	__atomic_fetch_add(&agent_data.nr_shadows, 1, __ATOMIC_SEQ_CST);
}

/* klp's order: out of the table, then the destructor, then the memory. */
static void remove(struct shadow **link, agent_dtor dtor)
{
	struct shadow *shadow = *link;

	__atomic_store_n(link, shadow->next, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&agent_data.nr_shadows, 1, __ATOMIC_SEQ_CST);
	if (dtor)
		dtor(shadow->obj, shadow->data);
	retire(shadow);
}

/* --- what payloads call, see <upatch/livepatch.h> ---------------------------------------------- */

void *upatch_shadow_get(void *obj, unsigned long id)
{
	uint32_t in = count_in();
	struct shadow *shadow = find(obj, id);

	count_out(in);
	if (has_leftovers())
		tidy();
	return shadow ? shadow->data : NULL;
}

/* Under the lock, and there is none yet. */
static void *add(struct shadow *template, size_t size, agent_ctor ctor, void *ctor_data)
{
	struct shadow *shadow;

	if (size > PTRDIFF_MAX - sizeof(*shadow))
		return NULL;
	shadow = memory_alloc(sizeof(*shadow) + size);
	if (!shadow)
		return NULL;
	shadow->obj = template->obj;
	shadow->id = template->id;
	if (ctor && ctor(shadow->obj, shadow->data, ctor_data) != 0) {
		memory_free(shadow); /* no reader has seen it */
		return NULL;
	}
	insert(shadow);
	return shadow->data;
}

void *upatch_shadow_alloc(void *obj, unsigned long id, size_t size, agent_ctor ctor,
			  void *ctor_data)
{
	struct shadow template = { .obj = obj, .id = id };
	uint64_t signals;
	void *data = NULL;

	if (!lock(&signals))
		return NULL;
	if (!find(obj, id))
		data = add(&template, size, ctor, ctor_data);
	unlock(signals);
	return data;
}

void *upatch_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, agent_ctor ctor,
				 void *ctor_data)
{
	struct shadow template = { .obj = obj, .id = id };
	struct shadow *found;
	uint64_t signals;
	void *data;

	data = upatch_shadow_get(obj, id);
	if (data || !lock(&signals))
		return data;
	found = find(obj, id);
	data = found ? found->data : add(&template, size, ctor, ctor_data);
	unlock(signals);
	return data;
}

void upatch_shadow_free(void *obj, unsigned long id, agent_dtor dtor)
{
	struct shadow **link = chain_of(obj);
	uint64_t signals;

	if (!lock(&signals))
		return;
	while (*link && ((*link)->obj != obj || (*link)->id != id))
		link = &(*link)->next;
	if (*link)
		remove(link, dtor);
	unlock(signals);
}

void upatch_shadow_free_all(unsigned long id, agent_dtor dtor)
{
	uint64_t signals;

	if (!lock(&signals))
		return;
	for (size_t i = 0; i < NR_CHAINS; i++) {
		struct shadow **link = &chains[i];

		while (*link) {
			if ((*link)->id == id)
				remove(link, dtor);
			else
				link = &(*link)->next;
		}
	}
	unlock(signals);
}
