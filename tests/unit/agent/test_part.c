/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent puts a patch's part for a library to its place, in this process: the template is made as the
 * host makes it, the agent's sources are built for the host, and what comes of it is called.
 */
#include "agent/part.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

#include <cmocka.h>

enum {
	LIBRARY_SIZE = 3 * UPATCH_PAGE_SIZE,
	CODE = UPATCH_PAGE_SIZE, /* link-time addresses */
	DATA = 2 * UPATCH_PAGE_SIZE,
	FUNC_SIZE = 32,
	FUNCS = 2,
	COPIES = 2,
	PATCHES = 2,
};

enum { NONE, NEW_ADD, NEW_GET, ADD, VARIABLE, COUNTER, OTHER, SYMBOLS };
enum { TEXT, RW, SECTIONS };

/* One patch: its file's payload, template and meta. */
struct patch {
	uint8_t text[64];
	struct payload_section sections[SECTIONS];
	struct payload_symbol symbols[SYMBOLS];
	struct payload_reloc relocs[4];
	struct payload_piece pieces[FUNCS];
	struct payload_func funcs[FUNCS];
	struct payload payload;
	struct template template;
	struct upatch_meta *meta;
};

struct fixture {
	struct diag diag;
	struct target target;
	struct session session;
	uint8_t *record;
	uint8_t *library;
	struct patch patches[PATCHES];
	struct poke poke;
	struct dl_scope scope;
	struct part_site site;
	struct part part;
	struct part_refusal refusal;
	uint8_t before[LIBRARY_SIZE];
};

/* --- what the agent has beside that ---------------------------------------------------------------- */

struct upatch_agent_data agent_data;

static struct {
	long mapped; /* bytes that the agent has mapped, less those that it has unmapped */
	bool has_other;
	unsigned int writes_left; /* that succeed */
} process;

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	(void)scope;
	(void)version;
	assert_string_equal(name, "other");
	*ret = (struct lookup_symbol){ .value = 0x1234, .type = STT_OBJECT };
	*ret_in = NULL;
	return process.has_other;
}

static long result(long r)
{
	return r == -1 ? -errno : r;
}

long sys_mmap(void *addr, size_t size, long prot, long flags, long fd, long offset)
{
	long r = result(syscall(SYS_mmap, addr, size, prot, flags, fd, offset));

	if (r > 0)
		process.mapped += (long)size;
	return r;
}

long sys_munmap(void *addr, size_t size)
{
	process.mapped -= (long)size;
	return result(syscall(SYS_munmap, addr, size));
}

long sys_mprotect(void *addr, size_t size, long prot)
{
	return result(mprotect(addr, size, (int)prot));
}

long sys_openat(long dir, const char *path, long flags, long mode)
{
	return result(syscall(SYS_openat, dir, path, flags, mode));
}

long sys_close(long fd)
{
	return result(close((int)fd));
}

long sys_pwrite(long fd, const void *bytes, size_t size, uint64_t offset)
{
	if (!process.writes_left)
		return -EPERM;
	process.writes_left--;
	return result(pwrite((int)fd, bytes, size, (off_t)offset));
}

long sys_clock_gettime(long clock, struct sys_timespec *ret)
{
	struct timespec now = {};

	(void)clock_gettime((clockid_t)clock, &now);
	*ret = (struct sys_timespec){ now.tv_sec, now.tv_nsec };
	return 0;
}

/* --- fixture ------------------------------------------------------------------------------------- */

static const uint8_t old_add[FUNC_SIZE] = {
	0x8d, 0x47, 0x01, 0x0f, 0x1f, 0x00, 0xc3, /* lea 1(%rdi),%eax; nopl (%rax); ret */
};
static const uint8_t old_get[FUNC_SIZE] = {
	0xb8, 0x07, 0x00, 0x00, 0x00, 0xc3, /* mov $7,%eax; ret */
};
/* clang-format off */
static const uint8_t new_add[] = { /* the old one and 100 */
	0x48, 0x83, 0xec, 0x08,       /* sub $8,%rsp */
	0xe8, 0, 0, 0, 0,             /* call add */
	0x48, 0x83, 0xc4, 0x08,       /* add $8,%rsp */
	0x83, 0xc0, 0x64, 0xc3,       /* add $100,%eax; ret */
};
static const uint8_t new_get[] = { /* count, and the library's variable */
	0xff, 0x05, 0, 0, 0, 0,       /* incl counter(%rip) */
	0x8b, 0x05, 0, 0, 0, 0, 0xc3, /* mov variable(%rip),%eax; ret */
};
/* clang-format on */
enum {
	NEW_ADD_CALL = 5,
	NEW_ADD_BYTE = 15,
	NEW_GET_START = 32,
	NEW_GET_COUNT = NEW_GET_START + 2,
	NEW_GET_DISP = NEW_GET_START + 8,
};

static int add(struct fixture *f, int x)
{
	return ((int (*)(int))(uintptr_t)(f->library + CODE))(x);
}

static int get(struct fixture *f)
{
	return ((int (*)(void))(uintptr_t)(f->library + CODE + FUNC_SIZE))();
}

static void make_library(struct fixture *f)
{
	const int variable = 4711;

	f->library = mmap(NULL, LIBRARY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert_ptr_not_equal(f->library, MAP_FAILED);
	memset(f->library + CODE, 0x90, UPATCH_PAGE_SIZE);
	memcpy(f->library + CODE, old_add, sizeof(old_add));
	memcpy(f->library + CODE + FUNC_SIZE, old_get, sizeof(old_get));
	memcpy(f->library + DATA, &variable, sizeof(variable));
	assert_int_equal(mprotect(f->library + CODE, UPATCH_PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
	memcpy(f->before, f->library, LIBRARY_SIZE);
}

static void set_payload(struct patch *p, uint8_t more)
{
	const struct payload_symbol symbols[SYMBOLS] = {
		[NONE] = { .name = "", .kind = PAYLOAD_SYMBOL_ABSOLUTE },
		[NEW_ADD] = { .name = "new_add", .size = sizeof(new_add) },
		[NEW_GET] = { .name = "new_get", .value = NEW_GET_START, .size = sizeof(new_get) },
		[ADD] = { .name = "add", .kind = PAYLOAD_SYMBOL_ORIGINAL },
		[VARIABLE] = { .name = "variable", .kind = PAYLOAD_SYMBOL_PRIVATE, .value = DATA },
		[COUNTER] = { .name = "counter", .section = RW, .value = 8 },
		[OTHER] = { .name = "other", .kind = PAYLOAD_SYMBOL_EXTERN },
	};

	memset(p->text, 0xcc, sizeof(p->text));
	memcpy(p->text, new_add, sizeof(new_add));
	memcpy(p->text + NEW_GET_START, new_get, sizeof(new_get));
	p->text[NEW_ADD_BYTE] = more;
	memcpy(p->symbols, symbols, sizeof(symbols));
	p->sections[TEXT] = (struct payload_section){
		.name = ".text",
		.type = SHT_PROGBITS,
		.flags = SHF_ALLOC | SHF_EXECINSTR,
		.size = sizeof(p->text),
		.align = 16,
		.bytes = p->text,
	};
	p->sections[RW] = (struct payload_section){
		.name = ".bss",
		.type = SHT_NOBITS,
		.flags = SHF_ALLOC | SHF_WRITE,
		.size = 16,
		.align = 8,
	};
	p->relocs[0] = (struct payload_reloc){ 0, ADD, R_X86_64_PLT32, NEW_ADD_CALL, -4 };
	p->relocs[1] = (struct payload_reloc){ 0, VARIABLE, R_X86_64_PC32, NEW_GET_DISP, -4 };
	p->relocs[2] = (struct payload_reloc){ 0, COUNTER, R_X86_64_PC32, NEW_GET_COUNT, -4 };
	p->relocs[3] = (struct payload_reloc){ 0, OTHER, R_X86_64_64, 48, 0 };
	p->pieces[0] = (struct payload_piece){ CODE, sizeof(old_add), old_add };
	p->pieces[1] = (struct payload_piece){ CODE + FUNC_SIZE, sizeof(old_get), old_get };
	for (uint32_t i = 0; i < FUNCS; i++)
		p->funcs[i] = (struct payload_func){
			.name = i ? "get" : "add",
			.symbol = NEW_ADD + i,
			.old_value = p->pieces[i].vaddr,
			.old_size = p->pieces[i].size,
			.pieces = &p->pieces[i],
			.nr_pieces = 1,
		};
	p->payload = (struct payload){
		.object = "libx.so",
		.has_code = true,
		.machine = EM_X86_64,
		.sections = p->sections,
		.nr_sections = SECTIONS,
		.symbols = p->symbols,
		.nr_symbols = SYMBOLS,
		.relocs = p->relocs,
		.nr_relocs = ARRAY_SIZE(p->relocs),
		.funcs = p->funcs,
		.nr_funcs = FUNCS,
	};
}

/* Absent objects, as meta_new() makes them. */
static struct upatch_meta *make_meta(const struct template *template, uint64_t seq)
{
	static const char strings[8] = "\0x";
	size_t objects = sizeof(struct upatch_meta);
	size_t funcs = objects + COPIES * sizeof(struct upatch_meta_object);
	size_t ranges = funcs + COPIES * FUNCS * sizeof(struct upatch_meta_func);
	size_t all = ranges + COPIES * FUNCS * sizeof(struct upatch_meta_range);
	struct upatch_meta *meta = calloc(1, all + sizeof(strings));

	assert_non_null(meta);
	*meta = (struct upatch_meta){
		.version = UPATCH_ABI_VERSION,
		.size = (uint32_t)(all + sizeof(strings)),
		.seq = seq,
		.name = "p",
		.nr_objects = COPIES,
		.nr_funcs = COPIES * FUNCS,
		.nr_ranges = COPIES * FUNCS,
		.objects_offset = (uint32_t)objects,
		.funcs_offset = (uint32_t)funcs,
		.ranges_offset = (uint32_t)ranges,
		.strings_offset = (uint32_t)all,
		.strings_size = sizeof(strings),
	};
	memcpy(meta->magic, UPATCH_META_MAGIC, sizeof(meta->magic));
	memcpy((char *)meta + all, strings, sizeof(strings));
	for (uint32_t i = 0; i < COPIES; i++)
		((struct upatch_meta_object *)meta_objects(meta))[i] = (struct upatch_meta_object){
			.name = 1,
			.template_addr = (uintptr_t) template->bytes,
			.template_size = (uint32_t) template->size,
			.first_func = i * FUNCS,
			.nr_funcs = FUNCS,
		};
	for (uint32_t i = 0; i < COPIES * FUNCS; i++)
		((struct upatch_meta_func *)meta_funcs(meta))[i] = (struct upatch_meta_func){
			.name = 1,
			.object = i / FUNCS,
			.first_range = i,
			.nr_ranges = 1,
		};
	return meta;
}

static struct upatch_record *head(struct fixture *f)
{
	return (void *)f->record;
}

static void add_patch(struct fixture *f, int index)
{
	struct patch *p = &f->patches[index];

	set_payload(p, (uint8_t)(100 + index));
	assert_int_equal(template_new(&f->session, &p->payload, &p->template), 0);
	assert_int_equal(template_make(&f->session, &p->template), 0);
	p->meta = make_meta(&p->template, (uint64_t)index + 1);
	head(f)->patches[index] = (struct upatch_patch_entry){
		.seq = (uint64_t)index + 1,
		.meta_addr = (uintptr_t)p->meta,
		.meta_size = p->meta->size,
	};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	process.mapped = 0;
	process.has_other = true;
	process.writes_left = 1000;
	diag_init(&f->diag);
	f->record = aligned_alloc(UPATCH_PAGE_SIZE, UPATCH_RECORD_SIZE);
	assert_non_null(f->record);
	memset(f->record, 0, UPATCH_RECORD_SIZE);
	agent_data = (struct upatch_agent_data){ .record_addr = (uintptr_t)f->record };
	f->target = (struct target){ .diag = &f->diag, .pid = getpid(), .arch = &arch_x86_64 };
	f->session = (struct session){
		.target = &f->target,
		.diag = &f->diag,
		.record = { .target = &f->target,
			    .addr = (uintptr_t)f->record,
			    .head = (void *)f->record },
	};
	make_library(f);
	for (int i = 0; i < PATCHES; i++)
		add_patch(f, i);
	poke_open(&f->poke);
	assert_true(f->poke.fd >= 0);
	f->site = (struct part_site){
		.poke = &f->poke,
		.scope = &f->scope,
		.image = { .start = (uintptr_t)f->library,
			   .end = (uintptr_t)f->library + LIBRARY_SIZE },
		.bias = (uintptr_t)f->library,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (head(f)->regions[i].state == UPATCH_REGION_MAPPED)
			munmap((void *)(uintptr_t)head(f)->regions[i].addr,
			       head(f)->regions[i].size);
	part_done(&f->part);
	poke_close(&f->poke);
	for (int i = 0; i < PATCHES; i++) {
		template_deinit(&f->patches[i].template);
		free(f->patches[i].meta);
	}
	munmap(f->library, LIBRARY_SIZE);
	free(f->record);
	diag_deinit(&f->diag);
	free(f);
	return 0;
}

static void set_state(struct fixture *f, int patch, enum upatch_patch_state state)
{
	head(f)->patches[patch].state = state;
}

static const struct upatch_meta_object *object_of(struct fixture *f, int patch)
{
	return meta_objects(f->patches[patch].meta);
}

static int try_make(struct fixture *f, int patch)
{
	return part_make(&f->site, &head(f)->patches[patch], object_of(f, patch), &f->part,
			 &f->refusal);
}

/* Its part for the library, in use from now on if the state says so. */
static void use(struct fixture *f, int patch, enum upatch_patch_state state,
		enum part_entries entries)
{
	set_state(f, patch, state);
	assert_int_equal(try_make(f, patch), 0);
	assert_int_equal(part_patch(&f->part, entries, &f->refusal), 0);
}

static void assert_sound(struct fixture *f, int patch)
{
	const struct upatch_meta *meta = f->patches[patch].meta;

	assert_int_equal(record_check_meta(&f->target, meta, meta->size), 0);
}

static size_t count_regions(struct fixture *f)
{
	size_t nr = 0;

	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		nr += head(f)->regions[i].state != UPATCH_REGION_FREE;
	return nr;
}

/* All that the agent has mapped, but for its scratch. */
static void assert_told_of_all(struct fixture *f)
{
	long sum = 0;

	part_done(&f->part);
	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (head(f)->regions[i].state == UPATCH_REGION_MAPPED)
			sum += (long)head(f)->regions[i].size;
	assert_int_equal(process.mapped, sum);
}

static void assert_library_unchanged(struct fixture *f)
{
	assert_memory_equal(f->library, f->before, LIBRARY_SIZE);
}

/* --- coming -------------------------------------------------------------------------------------- */

static void test_a_part_that_is_made_is_told_of_and_used_by_nobody(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta_object *o = object_of(f, 0);
	const struct upatch_meta_func *funcs = meta_funcs(f->patches[0].meta);

	set_state(f, 0, UPATCH_PATCH_ENABLED);
	assert_int_equal(try_make(f, 0), 0);
	assert_library_unchanged(f);
	assert_sound(f, 0);
	assert_int_equal(o->start, (uintptr_t)f->library);
	assert_int_equal(o->end, (uintptr_t)f->library + LIBRARY_SIZE);
	for (int i = 0; i < FUNCS; i++) {
		const struct upatch_meta_range *range =
			&meta_ranges(f->patches[0].meta)[funcs[i].first_range];

		assert_int_equal(funcs[i].old_addr, (uintptr_t)f->library + CODE + i * FUNC_SIZE);
		assert_int_equal(range->addr, funcs[i].old_addr);
		assert_int_equal(range->size, FUNC_SIZE);
		assert_true(funcs[i].new_addr >= o->payload_addr + UPATCH_TEXT_LEAD);
		assert_true(funcs[i].new_addr < o->payload_addr + o->text_size);
	}
	/* The other copy is still absent. */
	assert_int_equal(o[1].start, 0);
	assert_int_equal(funcs[FUNCS].old_addr, 0);
	assert_int_equal(count_regions(f), 2);
	assert_int_equal(head(f)->regions[UPATCH_REGIONS_HOST].patch_seq, 1);
	assert_int_equal(head(f)->regions[UPATCH_REGIONS_HOST + 1].patch_seq, 0);
	assert_told_of_all(f);
}

static void test_an_enabled_patchs_functions_run(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(add(f, 5), 6);
	assert_int_equal(get(f), 7);
	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	/* One calls what it replaces, the other one has the library's variable, and one of its own. */
	assert_int_equal(add(f, 5), 106);
	assert_int_equal(get(f), 4711);
}

static void test_code_cannot_be_written(void **state)
{
	struct fixture *f = *state;

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(syscall(SYS_getrandom, object_of(f, 0)->payload_addr, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(syscall(SYS_getrandom, meta_funcs(f->patches[0].meta)[0].slot_addr, 1, 0),
			 -1);
	assert_int_equal(errno, EFAULT);
}

static void test_a_loaded_patchs_entries_lead_to_the_original(void **state)
{
	struct fixture *f = *state;

	use(f, 0, UPATCH_PATCH_LOADED, PART_WRITE_ENTRIES);
	assert_memory_not_equal(f->library, f->before, LIBRARY_SIZE);
	assert_int_equal(add(f, 5), 6);
	assert_int_equal(get(f), 7);
}

static void test_while_a_transition_is_open_the_dispatcher_decides(void **state)
{
	struct fixture *f = *state;
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	use(f, 0, UPATCH_PATCH_ENABLING, PART_WRITE_ENTRIES);
	assert_int_equal(add(f, 5), 6);
	/* A table that lists nobody: all others run the new version. */
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(add(f, 5), 106);
	table->invert = 1;
	assert_int_equal(add(f, 5), 6);
}

static void test_of_one_that_is_going_the_old_version_has_it(void **state)
{
	struct fixture *f = *state;
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	use(f, 0, UPATCH_PATCH_DISABLING, PART_WRITE_ENTRIES);
	assert_int_equal(add(f, 5), 106);
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(add(f, 5), 6);
}

static void test_entries_may_be_left_to_the_host(void **state)
{
	struct fixture *f = *state;
	const struct upatch_slot *slot;

	use(f, 0, UPATCH_PATCH_ENABLED, PART_KEEP_ENTRIES);
	assert_library_unchanged(f);
	slot = (const void *)(uintptr_t)meta_funcs(f->patches[0].meta)[0].slot_addr;
	assert_int_equal(slot->winner, meta_funcs(f->patches[0].meta)[0].new_addr);
	assert_int_equal(slot->func_addr, (uintptr_t)f->library + CODE);
	assert_int_equal(slot->entry_addr, (uintptr_t)f->library + CODE);
	assert_memory_equal(slot->original, old_add, slot->covered);
}

static void test_a_second_patch_has_the_first_ones_slots(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta_func *first = meta_funcs(f->patches[0].meta);
	const struct upatch_meta_func *second = meta_funcs(f->patches[1].meta);

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	use(f, 1, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	for (int i = 0; i < FUNCS; i++)
		assert_int_equal(first[i].slot_addr, second[i].slot_addr);
	assert_sound(f, 1);
	/* It calls the original, not the first patch's. */
	assert_int_equal(add(f, 5), 107);
	/* It goes as if it had never been. */
	set_state(f, 1, UPATCH_PATCH_UNLOADING);
	part_leave(&f->part);
	assert_int_equal(add(f, 5), 106);
	/* It had no island of its own. */
	assert_int_equal(count_regions(f), 3);
	assert_told_of_all(f);
}

/* The patch on top, in the old version and in the new one. */
static void assert_versions(struct fixture *f, enum upatch_patch_state state, int old, int new)
{
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	set_state(f, 1, state);
	assert_int_equal(part_patch(&f->part, PART_KEEP_ENTRIES, &f->refusal), 0);
	word->active = 0;
	assert_int_equal(add(f, 5), old);
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(add(f, 5), new);
}

static void test_a_transition_on_top_of_a_patch_is_between_the_two(void **state)
{
	struct fixture *f = *state;

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	use(f, 1, UPATCH_PATCH_LOADED, PART_WRITE_ENTRIES);
	assert_versions(f, UPATCH_PATCH_LOADED, 106, 106);
	assert_versions(f, UPATCH_PATCH_ENABLING, 106, 107);
	assert_versions(f, UPATCH_PATCH_ENABLED, 107, 107);
	assert_versions(f, UPATCH_PATCH_DISABLING, 107, 106);
	assert_versions(f, UPATCH_PATCH_UNLOADING, 106, 106);
}

static void test_a_replace_patch_counts_even_for_what_it_lacks(void **state)
{
	struct fixture *f = *state;

	f->patches[1].meta->flags = UPATCH_META_REPLACE;
	set_state(f, 1, UPATCH_PATCH_ENABLED);
	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(add(f, 5), 6);
	/* Once it is on its way out it does not. */
	set_state(f, 1, UPATCH_PATCH_UNLOADING);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), -1);
	assert_int_equal(f->refusal.reason, UPATCH_REFUSED_BYTES);
	part_unpatch(&f->part);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), 0);
	assert_int_equal(add(f, 5), 106);
}

/* --- refusals ------------------------------------------------------------------------------------ */

/* Nothing is left of what was tried. */
static void assert_refused(struct fixture *f, int patch, uint32_t reason)
{
	size_t nr = count_regions(f);

	assert_int_equal(try_make(f, patch), -1);
	assert_int_equal(f->refusal.reason, reason);
	assert_int_equal(process.mapped, 0);
	assert_int_equal(count_regions(f), nr);
	assert_library_unchanged(f);
	assert_int_equal(object_of(f, patch)->start, 0);
}

static void test_a_symbol_that_is_missing_refuses_it(void **state)
{
	struct fixture *f = *state;

	process.has_other = false;
	assert_refused(f, 0, UPATCH_REFUSED_UNRESOLVED);
	assert_string_equal(f->refusal.detail, "other");
}

static void test_a_full_record_refuses_it(void **state)
{
	struct fixture *f = *state;

	/* None left, and then one, which is not enough. */
	for (int i = UPATCH_REGIONS_HOST; i < UPATCH_REGIONS_MAX; i++)
		head(f)->regions[i] = (struct upatch_region){
			.addr = 0x1000,
			.state = UPATCH_REGION_RESERVED,
		};
	assert_refused(f, 0, UPATCH_REFUSED_FULL);
	head(f)->regions[UPATCH_REGIONS_MAX - 1].state = UPATCH_REGION_FREE;
	assert_refused(f, 0, UPATCH_REFUSED_FULL);
}

static void test_whatever_write_fails_nothing_is_left(void **state)
{
	struct fixture *f = *state;
	unsigned int nr = 0;

	set_state(f, 0, UPATCH_PATCH_ENABLED);
	for (;; nr++) {
		process.mapped = 0;
		process.writes_left = nr;
		if (try_make(f, 0) == 0)
			break;
		assert_true(f->refusal.reason == UPATCH_REFUSED_WRITE ||
			    f->refusal.reason == UPATCH_REFUSED_FULL);
		/* What is not mapped any more is not called mapped. */
		for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
			if (head(f)->regions[i].state == UPATCH_REGION_MAPPED)
				assert_int_equal(msync((void *)(uintptr_t)head(f)->regions[i].addr,
						       head(f)->regions[i].size, MS_ASYNC),
						 0);
		assert_int_equal(object_of(f, 0)->start, 0);
		assert_library_unchanged(f);
		for (int i = 0; i < UPATCH_REGIONS_MAX; i++) {
			if (head(f)->regions[i].state == UPATCH_REGION_MAPPED)
				munmap((void *)(uintptr_t)head(f)->regions[i].addr,
				       head(f)->regions[i].size);
			head(f)->regions[i].state = UPATCH_REGION_FREE;
		}
	}
	/* Payload, island, two regions, ranges, functions, the object. */
	assert_int_equal(nr, 7);
}

static void test_an_entry_that_is_not_what_it_was_refuses_it(void **state)
{
	struct fixture *f = *state;
	const uint8_t trap = 0xcc;

	/* In the last of the covered bytes, behind the jump. */
	f->before[CODE + 5] = trap;
	assert_int_equal(poke_write(&f->poke, (uintptr_t)f->library + CODE + 5, &trap, 1,
				    PROT_READ | PROT_EXEC),
			 0);
	set_state(f, 0, UPATCH_PATCH_ENABLED);
	assert_int_equal(try_make(f, 0), 0);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), -1);
	assert_int_equal(f->refusal.reason, UPATCH_REFUSED_BYTES);
	assert_string_equal(f->refusal.detail, "add");
	assert_library_unchanged(f);
}

/* --- going --------------------------------------------------------------------------------------- */

static void test_what_was_written_can_be_taken_back(void **state)
{
	struct fixture *f = *state;

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_unpatch(&f->part);
	assert_library_unchanged(f);
	/* Also when little of it was written. */
	assert_int_equal(part_patch(&f->part, PART_KEEP_ENTRIES, &f->refusal), 0);
	part_unpatch(&f->part);
	assert_library_unchanged(f);
}

static void test_a_part_that_is_dropped_is_absent_again(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta_object was = *object_of(f, 0);
	const struct upatch_meta_func func = meta_funcs(f->patches[0].meta)[1];

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_unpatch(&f->part);
	part_done(&f->part);
	part_drop(&f->poke, f->patches[0].meta, object_of(f, 0));
	assert_sound(f, 0);
	assert_memory_equal(object_of(f, 0), &was, sizeof(was));
	assert_memory_equal(&meta_funcs(f->patches[0].meta)[1], &func, sizeof(func));
	/* The island stays until the library goes. */
	assert_int_equal(count_regions(f), 1);
	part_drop_islands(&f->poke, (uintptr_t)f->library + 1);
	assert_int_equal(count_regions(f), 1);
	assert_told_of_all(f);
	part_drop_islands(&f->poke, (uintptr_t)f->library);
	assert_int_equal(count_regions(f), 0);
	assert_int_equal(process.mapped, 0);
	/* And once more. */
	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(add(f, 5), 106);
}

static void test_an_island_that_nobody_uses_is_left_to_the_host(void **state)
{
	const uint32_t armed = 0;
	struct fixture *f = *state;

	use(f, 0, UPATCH_PATCH_ENABLED, PART_KEEP_ENTRIES);
	for (int i = 0; i < FUNCS; i++) {
		const struct upatch_slot *slot =
			(void *)(uintptr_t)meta_funcs(f->patches[0].meta)[i].slot_addr;

		assert_int_equal(dl_record_store(&f->poke, &slot->is_armed, &armed, sizeof(armed)),
				 0);
	}
	part_drop(&f->poke, f->patches[0].meta, object_of(f, 0));
	part_drop_islands(&f->poke, (uintptr_t)f->library);
	assert_int_equal(count_regions(f), 1);
}

static void test_both_copies_have_their_own(void **state)
{
	struct fixture *f = *state;
	uint8_t *first = f->library;
	const struct upatch_meta_object was = object_of(f, 0)[1];

	use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	make_library(f);
	f->site.image.start = f->site.bias = (uintptr_t)f->library;
	f->site.image.end = (uintptr_t)f->library + LIBRARY_SIZE;
	assert_int_equal(part_make(&f->site, &head(f)->patches[0], object_of(f, 0) + 1, &f->part,
				   &f->refusal),
			 0);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), 0);
	assert_sound(f, 0);
	memset(f->library + DATA, 0, sizeof(int));
	assert_int_equal(get(f), 0);
	assert_int_equal(add(f, 1), 102);
	assert_int_not_equal(object_of(f, 0)[0].payload_addr, object_of(f, 0)[1].payload_addr);
	part_drop(&f->poke, f->patches[0].meta, object_of(f, 0) + 1);
	assert_memory_equal(object_of(f, 0) + 1, &was, sizeof(was));
	assert_sound(f, 0);
	munmap(f->library, LIBRARY_SIZE);
	f->library = first;
	assert_int_equal(get(f), 4711);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_part_that_is_made_is_told_of_and_used_by_nobody),
		STORY(test_an_enabled_patchs_functions_run),
		STORY(test_code_cannot_be_written),
		STORY(test_a_loaded_patchs_entries_lead_to_the_original),
		STORY(test_while_a_transition_is_open_the_dispatcher_decides),
		STORY(test_of_one_that_is_going_the_old_version_has_it),
		STORY(test_entries_may_be_left_to_the_host),
		STORY(test_a_second_patch_has_the_first_ones_slots),
		STORY(test_a_transition_on_top_of_a_patch_is_between_the_two),
		STORY(test_a_replace_patch_counts_even_for_what_it_lacks),
		STORY(test_a_symbol_that_is_missing_refuses_it),
		STORY(test_a_full_record_refuses_it),
		STORY(test_whatever_write_fails_nothing_is_left),
		STORY(test_an_entry_that_is_not_what_it_was_refuses_it),
		STORY(test_what_was_written_can_be_taken_back),
		STORY(test_a_part_that_is_dropped_is_absent_again),
		STORY(test_an_island_that_nobody_uses_is_left_to_the_host),
		STORY(test_both_copies_have_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
