/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call costs while a transition is open: a slot of our own, with its table of laggards. */
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/deadline.h"
#include "bench.h"

enum {
	CALLS = 1000,
	MEASURE_NSEC = 10000000,
	TEXT_SIZE = UPATCH_PAGE_SIZE,
	STACK_DISTANCE = 8 * 1024 * 1024 + 4096, /* of the C library's threads */
};

typedef long (*function_fn)(long x);

/* One mapping, so that everything is in reach of everything. */
struct gate {
	uint8_t *text;
	uint8_t *slot;
	struct upatch_laggards *laggards;
	struct upatch_switch *word;
	function_fn call;
};

static const size_t data_size = sizeof(struct upatch_laggards) + sizeof(struct upatch_switch);

static __attribute__((noipa)) long answer(long x)
{
	return x * 3 + 42;
}

static uint64_t own_thread_pointer(void)
{
	uint64_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp));
	return tp;
}

static void store_word(uint8_t *slot, uint16_t offset, uint64_t value)
{
	memcpy(slot + offset, &value, sizeof(value));
}

static void gate_init(const struct arch_ops *arch, enum arch_slot_flags flags, struct gate *ret)
{
	const struct arch_slot_layout *layout = arch->slot;
	uint8_t *base = mmap(NULL, 2 * TEXT_SIZE + data_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t text_addr = (uintptr_t)base, slot_addr = text_addr + TEXT_SIZE;

	if (base == MAP_FAILED)
		bench_die("out of memory");
	*ret = (struct gate){
		.text = base,
		.slot = base + TEXT_SIZE,
		.laggards = (void *)(base + 2 * TEXT_SIZE),
		.word = (void *)(base + 2 * TEXT_SIZE + sizeof(struct upatch_laggards)),
		.call = (function_fn)(uintptr_t)(text_addr + layout->stub),
	};
	if (arch->slot_write(text_addr, slot_addr, (uintptr_t)ret->word, flags, base) < 0)
		bench_die("cannot write a slot");
	store_word(ret->slot, layout->winner, text_addr + layout->dispatcher);
	store_word(ret->slot, layout->old, (uintptr_t)answer);
	store_word(ret->slot, layout->new, (uintptr_t)answer);
	if (mprotect(base, TEXT_SIZE, PROT_READ | PROT_EXEC) < 0)
		bench_die("cannot make the slot executable");
}

static void gate_deinit(struct gate *gate)
{
	(void)munmap(gate->text, 2 * TEXT_SIZE + data_size); /* fails for no valid range */
}

static void add_key(struct upatch_laggards *laggards, uint64_t tp)
{
	uint64_t i = upatch_laggards_hash(tp) & laggards->mask;

	while (laggards->keys[i])
		i = (i + 1) & laggards->mask;
	laggards->keys[i] = tp;
}

/* @nr laggards; we are one of them, the last to come, if @found. */
static void fill(struct gate *gate, unsigned int nr, unsigned int found)
{
	uint64_t buckets = 16;

	/* As many as the engine would use. */
	while (buckets < 4 * (uint64_t)nr)
		buckets *= 2;
	memset(gate->laggards, 0, data_size);
	gate->laggards->mask = buckets - 1;
	gate->word->active = (uintptr_t)gate->laggards;
	for (unsigned int i = found; i < nr; i++)
		add_key(gate->laggards, own_thread_pointer() - (i + 1) * (uint64_t)STACK_DISTANCE);
	if (found)
		add_key(gate->laggards, own_thread_pointer());
}

/* Of the fastest batch, as in the victim. */
static double time_calls(function_fn fn)
{
	function_fn volatile pointer = fn;
	uint64_t begun = clock_now(), at = begun, fastest = UINT64_MAX;
	long x = 0;

	while (at - begun < MEASURE_NSEC) {
		uint64_t before = at;

		for (long i = 0; i < CALLS; i++)
			x = pointer(x);
		at = clock_now();
		fastest = MIN(fastest, at - before);
	}
	return (double)fastest / CALLS;
}

static void measure(struct bench *bench, struct gate *gate, const char *how, unsigned int nr)
{
	struct samples pointer = {}, searched[2] = {};

	for (int i = 0; i < BENCH_RUNS; i++) {
		samples_add(&pointer, time_calls(answer));
		for (unsigned int found = 0; found < 2; found++) {
			fill(gate, nr, found);
			samples_add(&searched[found], time_calls(gate->call));
		}
	}
	for (unsigned int found = 0; found < 2; found++) {
		struct report_row row = {
			.unit = "ns",
			.base = samples_median(&pointer),
			.goal = samples_median(&pointer) + 4,
		};

		(void)snprintf(row.what, sizeof(row.what), "call: open, %s, %s of %u laggards", how,
			       found ? "one" : "none", nr);
		report_add(&bench->report, &searched[found], &row);
	}
}

void measure_dispatcher(struct bench *bench)
{
	static const unsigned int laggards[] = { 1, 10, 1000 };
	const enum arch_slot_flags flags = arch_x86_64.slot_flags(getauxval(AT_HWCAP2));
	struct gate gate;

	gate_init(&arch_x86_64, flags, &gate);
	for (size_t i = 0; i < ARRAY_SIZE(laggards); i++)
		measure(bench, &gate, flags & ARCH_SLOT_RAW_TP ? "rdfsbase" : "%fs:0", laggards[i]);
	gate_deinit(&gate);
	if (!flags)
		return;
	gate_init(&arch_x86_64, 0, &gate);
	measure(bench, &gate, "%fs:0", 1);
	gate_deinit(&gate);
}
