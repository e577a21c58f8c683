/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "site.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/array.h"
#include "livepatch/plan.h"

/* --- what the agent has beside that ---------------------------------------------------------------- */

struct upatch_agent_data agent_data;

struct site_process site_process;

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	(void)scope;
	(void)version;
	assert_string_equal(name, "other");
	*ret = (struct lookup_symbol){ .value = 0x1234, .type = STT_OBJECT };
	*ret_in = NULL;
	return site_process.has_other;
}

static long result(long r)
{
	return r == -1 ? -errno : r;
}

long sys_mmap(void *addr, size_t size, long prot, long flags, long fd, long offset)
{
	long r = result(syscall(SYS_mmap, addr, size, prot, flags, fd, offset));

	if (r > 0)
		site_process.mapped += (long)size;
	return r;
}

long sys_munmap(void *addr, size_t size)
{
	site_process.mapped -= (long)size;
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
	if (!site_process.writes_left)
		return -EPERM;
	site_process.writes_left--;
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

int site_add(struct site *f, int x)
{
	return ((int (*)(int))(uintptr_t)(f->library + CODE))(x);
}

int site_get(struct site *f)
{
	return ((int (*)(void))(uintptr_t)(f->library + CODE + FUNC_SIZE))();
}

void site_make_library(struct site *f)
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

struct upatch_record *site_record(struct site *f)
{
	return (void *)f->record;
}

static void add_patch(struct site *f, int index)
{
	struct patch *p = &f->patches[index];

	set_payload(p, (uint8_t)(100 + index));
	assert_int_equal(template_new(&f->session, &p->payload, &p->template), 0);
	assert_int_equal(template_make(&f->session, &p->template), 0);
	p->meta = make_meta(&p->template, (uint64_t)index + 1);
	site_record(f)->patches[index] = (struct upatch_patch_entry){
		.seq = (uint64_t)index + 1,
		.meta_addr = (uintptr_t)p->meta,
		.meta_size = p->meta->size,
	};
}

int site_setup(void **state)
{
	struct site *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	site_process.mapped = 0;
	site_process.has_other = true;
	site_process.writes_left = 1000;
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
	site_make_library(f);
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

int site_teardown(void **state)
{
	struct site *f = *state;

	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (site_record(f)->regions[i].state == UPATCH_REGION_MAPPED)
			munmap((void *)(uintptr_t)site_record(f)->regions[i].addr,
			       site_record(f)->regions[i].size);
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

void site_set_state(struct site *f, int patch, enum upatch_patch_state state)
{
	site_record(f)->patches[patch].state = state;
}

const struct upatch_meta_object *site_object(struct site *f, int patch)
{
	return meta_objects(f->patches[patch].meta);
}

int site_try_make(struct site *f, int patch)
{
	return part_make(&f->site, &site_record(f)->patches[patch], site_object(f, patch), &f->part,
			 &f->refusal);
}

/* Its part for the library, in use from now on if the state says so. */
void site_use(struct site *f, int patch, enum upatch_patch_state state, enum part_entries entries)
{
	site_set_state(f, patch, state);
	assert_int_equal(site_try_make(f, patch), 0);
	assert_int_equal(part_patch(&f->part, entries, &f->refusal), 0);
}
