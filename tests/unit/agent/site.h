/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_AGENT_SITE_H
#define TESTS_UNIT_AGENT_SITE_H

/*
 * A library in this process, with the functions add(), which adds 1, and get(), which returns 7; and patches
 * whose parts wait for it: add() adds 100 more in the first, 101 in the second; get() returns the library's variable.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/agent.h"
#include "agent/part.h"
#include "base/diag.h"
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

struct site {
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

/* What the agent's system calls meet. */
struct site_process {
	long mapped; /* bytes that the agent has mapped, less those that it has unmapped */
	bool has_other;
	unsigned int writes_left; /* that succeed */
};

extern struct site_process site_process;

int site_setup(void **state);
int site_teardown(void **state);

/* Another copy of the library, in place of the one before, which is the caller's to unmap. */
void site_make_library(struct site *f);

/* Call the library's functions. */
int site_add(struct site *f, int x);
int site_get(struct site *f);

struct upatch_record *site_record(struct site *f);
void site_set_state(struct site *f, int patch, enum upatch_patch_state state);

/* The first of a patch's objects for the library. */
const struct upatch_meta_object *site_object(struct site *f, int patch);

/* A patch's part for it, as part_make() says. */
int site_try_make(struct site *f, int patch);

/* The same, in use from now on if the state says so. */
void site_use(struct site *f, int patch, enum upatch_patch_state state, enum part_entries entries);

#endif
