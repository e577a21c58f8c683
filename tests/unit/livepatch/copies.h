/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_LIVEPATCH_COPIES_H
#define TESTS_UNIT_LIVEPATCH_COPIES_H

/* A payload, the template that is made of it, and copies that the agent's relocator puts to places. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <upatch/abi.h>

#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

#include <cmocka.h>

enum {
	TEXT,
	RODATA,
	DATA,
	BSS,
	SECTIONS,
	/* sizes */
	TEXT_SIZE = 0x40,
	RODATA_SIZE = 0x20,
	DATA_SIZE = 0x1000, /* up to the end of the payload */
	BSS_SIZE = 0x10,
	OLD_SIZE = 0x20,
	/* of symbols in the payload, and of its functions */
	DATA_VALUE = 0x18,
	OLD_VALUE = 0x5000,
};

enum {
	NONE,
	NEW_FUNC,
	DATUM,
	HIDDEN,
	HIDDEN_TLS,
	AGENT,
	ORIGINAL,
	ABSOLUTE,
	WEAK,
	OTHER,
	SYMBOLS,
};

/* Of the library's thread-local variables, as its link map says. */
enum {
	TLS_MODULE = 7,
	TLS_BLOCK = 0x200,
};

static const char object_name[] = "libx-with-a-longer-name.so";

static const uint64_t other_addr = 0x7e0000001230;
static const uint64_t hidden_value = 0x2468;
static const uint64_t record_addr = 0x7d000075a000;
static const uint64_t gateway_addr = 0x7f1180020080;

/* Where a copy may be put, in reach of its library. */
struct place {
	uint64_t payload;
	uint64_t bias;
};

static const struct place places[] = {
	{ 0x7f1200000000, 0x7f1180000000 },
	{ 0x7f1140000000, 0x7f1170000000 },
	{ 0x40000000, 0x10000000 },
};

struct copies {
	struct diag diag;
	struct target target;
	struct upatch_record head;
	struct session session;
	uint8_t text[TEXT_SIZE], rodata[RODATA_SIZE], data[DATA_SIZE], old[OLD_SIZE];
	struct payload_section sections[SECTIONS];
	struct payload_symbol symbols[SYMBOLS];
	struct payload_reloc relocs[4];
	struct payload_piece piece;
	struct payload_func func;
	struct payload payload;
	struct template template;
	uint64_t agent_addr; /* of the function of its */
	uint8_t *copy;	     /* of the payload, at its place */
	const struct place *place;
};

int copies_setup(void **state);
int copies_teardown(void **state);

void copies_add_reloc(struct copies *f, uint32_t section, uint64_t offset, uint32_t type,
		      uint32_t symbol, int64_t addend);

/* As enabling a patch does it, with the agent in place. Return: 0, or -errno raised; the other one must not fail. */
int copies_try_make(struct copies *f);
const struct upatch_template *copies_make(struct copies *f);

/* What the agent does with it. */
void copies_put(struct copies *f, const struct place *place);

/* What is in a copy, by the address that it has there. */
uint64_t copies_word(const struct copies *f, uint64_t addr);

/* Address of a place in a section. */
uint64_t copies_addr_in(const struct copies *f, int section, uint64_t offset);

/* Where 32 bits lead that end an instruction. */
uint64_t copies_led_to(const struct copies *f, uint64_t addr);

/* Where a jump to an address gets to: through a stub, if that is one. */
uint64_t copies_arrives(const struct copies *f, uint64_t to);

/* What each symbol is at a place. */
uint64_t copies_meant(const struct copies *f, int symbol);

#endif
