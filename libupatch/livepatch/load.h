/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_LOAD_H
#define LIVEPATCH_LOAD_H

/*
 * Laying a payload out in one region of the target, and relocating it there.
 *
 *   text	r-x	landing, executable sections, call stubs
 *   ro		r--	read-only sections, GOT, .eh_frame_hdr, what callbacks are told
 *   rw		rw-	writable sections, room for what libgcc knows of it
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload_reloc;
struct plan_object;
struct rcall;
struct session;

/* Where a symbol of the payload is, once it is known. */
struct load_symbol {
	uint64_t value;
	uint64_t size;
	int64_t tpoff;
	int64_t dtpoff;
	uint64_t tls_module;
	bool is_tls;
	bool has_tpoff;
	bool is_agent; /* a function of the agent; value is set when that is mapped */
	bool is_late;  /* of a library that may come and go: only by its word in the GOT */
	bool is_far;   /* likewise, as nobody knows yet how far away from the payload it will be */
	bool is_ifunc; /* value is the resolver's address until it was called */
	uint32_t got;  /* offset in the GOT + 1, 0: none */
	uint32_t got_tpoff;
	uint32_t got_pair;
	uint32_t trap; /* is_late: its number, see late.h */
	uint32_t stub; /* offset among the stubs + 1, 0: none */
};

struct load {
	struct load_symbol *symbols;
	uint64_t *section_offsets; /* in the region */
	uint64_t size;
	uint64_t text_size;
	uint64_t ro_size;
	uint64_t stubs_offset;
	uint64_t got_offset;
	uint64_t got_size;
	uint32_t got_module;	  /* offset + 1 of the local dynamic pair */
	uint64_t eh_frame_offset; /* 0: none */
	uint64_t eh_frame_size;
	uint64_t eh_frame_hdr_offset;
	uint64_t eh_frame_hdr_size;
	uint64_t frame_object_offset; /* 0: none */
	uint64_t callback_arg_offset; /* 0: none; struct upatch_callback, then the name */
	uint64_t callback_arg_name;
	uint64_t stored_size; /* what is behind it is zero */
	uint64_t addr;	      /* of the region, once it is reserved */
	uint8_t *bytes;	      /* of text and ro, then rw, as they will be */
};

/**
 * load_layout() - decide sizes and offsets, resolve what can be resolved
 *
 * Without an object in the target, only what the patch file tells.
 *
 * Return: 0, or -errno raised: UPATCH_E_UNRESOLVED, UPATCH_E_RELOC_TYPE, UPATCH_E_TLS_SYMBOL, ...
 */
int load_layout(struct session *session, struct plan_object *object);
void load_deinit(struct load *load);

/**
 * load_resolve_ifuncs() - have the target choose implementations
 * Runs resolvers in the borrowed thread. Return: 0, or raised.
 */
int load_resolve_ifuncs(struct session *session, struct plan_object *object, struct rcall *rcall);

/**
 * load_relocate() - compute the bytes for where the region is now
 * Return: 0, or raised: UPATCH_E_RELOC_RANGE, UPATCH_E_RELOC_TYPE.
 */
int load_relocate(struct session *session, struct plan_object *object);

/*
 * load_relocate() in steps, for what is made without knowing all symbols: the caller applies the
 * relocations that it can between the first and the last one.
 */
int load_begin(struct session *session, struct plan_object *object);
int load_apply(struct session *session, struct plan_object *object,
	       const struct payload_reloc *reloc);
int load_end(struct session *session, struct plan_object *object);

/* Raise that one cannot be applied: -EINVAL, or -ERANGE. */
int load_raise_reloc(struct session *session, const struct plan_object *object,
		     const struct payload_reloc *reloc, int error);

/* Address in the target of the word that a symbol that may come and go is used by, 0: it is none. */
uint64_t load_late_word(const struct plan_object *object, uint32_t symbol);

/* Address in the target of a symbol that the payload defines. */
uint64_t load_symbol_addr(const struct plan_object *object, uint32_t symbol);

#endif
