/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/unwind.h"

#include <errno.h>
#include <libunwind.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/image.h"
#include "target/object.h"
#include "target/target.h"

/*
 * Exported by libunwind, declared in none of its headers; perf uses it in the same way
 * (tools/perf/util/unwind-libunwind-local.c). Looks an address up in a binary search table that is
 * read through the accessors.
 */
#define dwarf_search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
extern int dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di,
				     unw_proc_info_t *pi, int need_unwind_info, void *arg);

enum {
	WINDOW = 16 * 1024, /* bytes of stack read at once: most stacks in one call */
	PAGE = 4096,
	HDR_SIZE = 12, /* version, three encodings, .eh_frame's address, number of entries */
	HDR_ENTRY_SIZE = 8,
	ENC_DATAREL_SDATA4 = 0x3b,
	ENC_UDATA4 = 0x03,
	START_CODE_SIZE = 64, /* of _start, from the entry point to its call */
	ROOT_CODE_SIZE = 16,
	SIGRETURN_CODE_SIZE = 9,
	/* Of one walk: a thousand for each frame, and some. Expressions in tables may branch back. */
	READS_MAX = 1 << 20,
};

/* A search table. libunwind reads it, and the records it points to, through read_bytes(). */
struct unwind_table {
	uint64_t base;	       /* what its offsets are relative to */
	uint64_t entries_addr; /* in the target, or made_up_addr */
	uint64_t nr;
};

/* Where a table seems to be that we made for an image without one: no target has anything there. */
static const uint64_t made_up_addr = 0xffff800000000000;

struct unwind_code {
	uint64_t start;
	uint64_t end;
	uint64_t hdr_addr;
	uint64_t hdr_size;
};

struct window {
	uint64_t addr;
	size_t size;
	uint8_t bytes[WINDOW];
};

struct unwinder {
	struct object_list *objects;
	unw_addr_space_t as;
	struct unwind_code *code;
	size_t nr_code;
	size_t alloc_code;
	/* Of the walk that is going on: */
	struct window stack; /* from the stack pointer up */
	struct window other; /* elsewhere: alternate stacks, tables in the target */
	const struct arch_regs *regs;
	struct image_fde_table made_up;
	uint64_t lost_at;
	unsigned int nr_reads;
};

/* --- memory ------------------------------------------------------------------------------------ */

static bool window_has(const struct window *w, uint64_t addr, size_t size)
{
	return addr >= w->addr && addr - w->addr < w->size && size <= w->size - (addr - w->addr);
}

/* As many bytes as there are, up to the window's size. */
static void window_load(struct unwinder *u, struct window *w, uint64_t addr, size_t size)
{
	struct iovec local = { w->bytes, size };
	struct iovec remote = { (void *)(uintptr_t)addr, size };
	ssize_t n = process_vm_readv(u->objects->target->tid, &local, 1, &remote, 1, 0);

	w->addr = addr;
	w->size = n > 0 ? (size_t)n : 0;
}

/*
 * Bytes of an object that cannot have changed: from the file, if they are not in a writable
 * segment. NULL: read the target.
 */
static const uint8_t *constant_bytes(struct unwinder *u, uint64_t addr, size_t size)
{
	struct object *o = object_list_at(u->objects, addr);
	const struct image_segment *segments;
	size_t nr;

	if (!o || !o->image)
		return NULL;
	nr = image_segments(o->image, &segments);
	for (size_t i = 0; i < nr; i++)
		if (addr - o->bias >= segments[i].vaddr &&
		    addr - o->bias < segments[i].vaddr + segments[i].memsz)
			return segments[i].flags & 2 /* PF_W */
				       ? NULL
				       : image_bytes(o->image, addr - o->bias, size);
	return NULL;
}

static int read_bytes(struct unwinder *u, uint64_t addr, void *buf, size_t size)
{
	const uint8_t *bytes;

	if (addr >= made_up_addr) {
		if (addr - made_up_addr + size > u->made_up.nr * HDR_ENTRY_SIZE)
			return -EFAULT;
		memcpy(buf, u->made_up.entries + (addr - made_up_addr), size);
		return 0;
	}
	if (window_has(&u->stack, addr, size)) {
		memcpy(buf, u->stack.bytes + (addr - u->stack.addr), size);
		return 0;
	}
	bytes = constant_bytes(u, addr, size);
	if (bytes) {
		memcpy(buf, bytes, size);
		return 0;
	}
	if (!window_has(&u->other, addr, size)) {
		window_load(u, &u->other, ALIGN_DOWN(addr, (uint64_t)PAGE), 2 * PAGE);
		if (!window_has(&u->other, addr, size))
			return -EFAULT;
	}
	memcpy(buf, u->other.bytes + (addr - u->other.addr), size);
	return 0;
}

/* --- search tables ----------------------------------------------------------------------------- */

static int read_table(struct unwinder *u, uint64_t hdr_addr, uint64_t hdr_size,
		      struct unwind_table *ret)
{
	uint8_t hdr[HDR_SIZE];
	uint32_t entries;

	if (hdr_size < HDR_SIZE || read_bytes(u, hdr_addr, hdr, sizeof(hdr)) < 0 || hdr[0] != 1 ||
	    hdr[2] != ENC_UDATA4 || hdr[3] != ENC_DATAREL_SDATA4)
		return -ENOENT;
	memcpy(&entries, hdr + 8, sizeof(entries));
	if (entries > (hdr_size - HDR_SIZE) / HDR_ENTRY_SIZE)
		return -ENOENT;
	*ret = (struct unwind_table){
		.base = hdr_addr,
		.entries_addr = hdr_addr + HDR_SIZE,
		.nr = entries,
	};
	return 0;
}

static int find_table(struct unwinder *u, uint64_t pc, struct unwind_table *ret)
{
	struct image_range hdr;
	struct image *image;
	struct object *o;

	for (size_t i = 0; i < u->nr_code; i++)
		if (pc >= u->code[i].start && pc < u->code[i].end)
			return read_table(u, u->code[i].hdr_addr, u->code[i].hdr_size, ret);
	o = object_list_at(u->objects, pc);
	if (!o || (o->has_no_image && !o->image) || object_image(u->objects, o, &image) < 0)
		return -ENOENT;
	if (image_eh_frame_hdr(image, &hdr))
		return read_table(u, hdr.vaddr + o->bias, hdr.size, ret);
	if (!image_fde_table(image, &u->made_up))
		return -ENOENT;
	*ret = (struct unwind_table){
		.base = u->made_up.base + o->bias,
		.entries_addr = made_up_addr,
		.nr = u->made_up.nr,
	};
	return 0;
}

/* --- accessors, libunwind's _U_dyn_register(3) and unw_create_addr_space(3) ------------------ */

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi,
			  int need_unwind_info, void *arg)
{
	struct unwinder *u = arg;
	struct unwind_table table;
	unw_dyn_info_t di = {};
	int r;

	r = find_table(u, ip, &table);
	if (r == 0) {
		di.format = UNW_INFO_FORMAT_REMOTE_TABLE;
		di.start_ip = 0;
		di.end_ip = UINT64_MAX;
		di.u.rti.segbase = table.base;
		di.u.rti.table_data = table.entries_addr;
		di.u.rti.table_len = table.nr * HDR_ENTRY_SIZE / sizeof(unw_word_t);
		r = dwarf_search_unwind_table(as, ip, &di, pi, need_unwind_info, arg);
		if (r == 0)
			return 0;
	}
	if (!u->lost_at)
		u->lost_at = ip;
	return -UNW_ENOINFO;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
}

static int get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *addr, void *arg)
{
	return -UNW_ENOINFO;
}

/* libunwind fetches by it all that it looks at: the stack, tables, each step of an expression in these. */
static int access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *value, int write, void *arg)
{
	struct unwinder *u = arg;

	if (write || u->nr_reads++ >= READS_MAX || read_bytes(u, addr, value, sizeof(*value)) < 0)
		return -UNW_EINVAL;
	return 0;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write,
		      void *arg)
{
	const struct unwinder *u = arg;
	const struct user_regs_struct *user = &u->regs->user;
	const unsigned long long values[] = {
		[UNW_X86_64_RAX] = user->rax, [UNW_X86_64_RDX] = user->rdx,
		[UNW_X86_64_RCX] = user->rcx, [UNW_X86_64_RBX] = user->rbx,
		[UNW_X86_64_RSI] = user->rsi, [UNW_X86_64_RDI] = user->rdi,
		[UNW_X86_64_RBP] = user->rbp, [UNW_X86_64_RSP] = user->rsp,
		[UNW_X86_64_R8] = user->r8,   [UNW_X86_64_R9] = user->r9,
		[UNW_X86_64_R10] = user->r10, [UNW_X86_64_R11] = user->r11,
		[UNW_X86_64_R12] = user->r12, [UNW_X86_64_R13] = user->r13,
		[UNW_X86_64_R14] = user->r14, [UNW_X86_64_R15] = user->r15,
		[UNW_X86_64_RIP] = user->rip,
	};

	if (write || reg < 0 || (size_t)reg >= ARRAY_SIZE(values))
		return -UNW_EBADREG;
	*value = values[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write,
			void *arg)
{
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t as, unw_word_t addr, char *buf, size_t size,
			 unw_word_t *offset, void *arg)
{
	return -UNW_ENOINFO;
}

/* --- the walk ---------------------------------------------------------------------------------- */

int unwinder_new(struct object_list *objects, struct unwinder **ret)
{
	unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
		.get_proc_name = get_proc_name,
	};
	struct unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return diag_oom(objects->target->diag);
	u->objects = objects;
	u->as = unw_create_addr_space(&accessors, 0); /* copies them */
	if (!u->as) {
		free(u);
		return diag_oom(objects->target->diag);
	}
	/*
	 * What was computed for one return address serves all threads. Not the cache that libunwind
	 * keeps for each thread of ours: that one would outlive the target and be used for the next.
	 */
	(void)unw_set_caching_policy(u->as, UNW_CACHE_GLOBAL); /* slow without, not wrong */
	*ret = u;
	return 0;
}

void unwinder_free(struct unwinder *unwinder)
{
	if (!unwinder)
		return;
	unw_destroy_addr_space(unwinder->as);
	free(unwinder->code);
	free(unwinder);
}

int unwinder_add_code(struct unwinder *unwinder, uint64_t start, uint64_t end, uint64_t hdr_addr,
		      uint64_t hdr_size)
{
	if (!array_grow(unwinder->code, unwinder->nr_code, unwinder->alloc_code))
		return diag_oom(unwinder->objects->target->diag);
	unwinder->code[unwinder->nr_code++] = (struct unwind_code){
		.start = start,
		.end = end,
		.hdr_addr = hdr_addr,
		.hdr_size = hdr_size,
	};
	return 0;
}

void unwinder_prepare(struct unwinder *unwinder)
{
	struct object_list *list = unwinder->objects;
	struct target *t = list->target;
	struct diag *saved = t->diag;
	struct image *image;
	struct diag quiet;

	/* An object that cannot be opened matters only if a thread is found in it. */
	diag_init(&quiet);
	t->diag = &quiet;
	for (size_t i = 0; i < list->nr; i++)
		(void)object_image(list, &list->objects[i], &image);
	t->diag = saved;
	diag_deinit(&quiet);
}

static bool is_signal_return(struct unwinder *u, uint64_t pc)
{
	uint8_t code[SIGRETURN_CODE_SIZE];

	return read_bytes(u, pc, code, sizeof(code)) == 0 &&
	       u->objects->target->arch->site_find(ARCH_SITE_SIGRETURN, code, sizeof(code)) == 0;
}

static bool is_root(struct unwinder *u, uint64_t pc)
{
	struct object *o = object_list_at(u->objects, pc);
	uint8_t code[ROOT_CODE_SIZE];
	uint64_t entry;

	if (!o || !o->image)
		return false;
	entry = image_entry(o->image) + o->bias;
	if (image_entry(o->image) && pc > entry && pc <= entry + START_CODE_SIZE)
		return true;
	return read_bytes(u, pc, code, sizeof(code)) == 0 &&
	       u->objects->target->arch->is_thread_root(code, sizeof(code));
}

enum unwind_outcome unwinder_walk(struct unwinder *unwinder, const struct arch_regs *regs,
				  struct unwind_stack *ret)
{
	struct unwinder *u = unwinder;
	unw_cursor_t cursor;
	unw_word_t pc = regs_pc(regs);
	bool is_exact = true;

	u->regs = regs;
	u->lost_at = 0;
	u->nr_reads = 0;
	u->other.size = 0;
	window_load(u, &u->stack, ALIGN_DOWN(regs_sp(regs), (uint64_t)8), WINDOW);
	ret->nr = 0;
	ret->lost_at = 0;
	if (unw_init_remote(&cursor, u->as, u) < 0)
		goto lost;
	while (ret->nr < UNWIND_FRAMES_MAX) {
		ret->frames[ret->nr++] = (struct unwind_frame){ .pc = pc, .is_exact = is_exact };
		is_exact = is_signal_return(u, pc);
		int r = unw_step(&cursor);

		if (r <= 0 || u->lost_at) {
			if (is_root(u, pc))
				return UNWIND_COMPLETE;
			break;
		}
		if (unw_get_reg(&cursor, UNW_REG_IP, &pc) < 0)
			break;
	}
lost:
	ret->lost_at = pc;
	return UNWIND_LOST;
}
