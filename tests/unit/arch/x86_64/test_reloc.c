/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <elf.h>
#include <errno.h>

#include "arch/arch.h"
#include "base/array.h"

/* A section at PLACE - 8 whose field is at offset 8, with code around it where it matters. */
enum {
	FIELD = 8,
	SECTION_SIZE = 24,
};

#define PLACE 0x7f0000001000ull
#define GOT 0x7f0000002000ull
#define NEAR 0x7f0000003000ull
#define FAR 0x555500000000ull
#define STUB 0x7f0000004000ull
#define GOT_BASE 0x7f0000001800ull

struct given {
	uint8_t section[SECTION_SIZE];
	struct arch_reloc reloc;
};

static struct given given_reloc(uint32_t type, int64_t addend)
{
	struct given given = {
		.reloc = {
			.type = type,
			.addend = addend,
			.place = PLACE,
			.value = NEAR,
			.size = 0x30,
			.got = GOT,
			.got_base = GOT_BASE,
			.stub = STUB,
			.tpoff = -0x40,
			.dtpoff = 0x50,
		},
	};

	memset(given.section, 0x5a, sizeof(given.section));
	return given;
}

static int apply(struct given *given)
{
	return arch_x86_64.reloc_apply(&given->reloc, given->section, SECTION_SIZE, FIELD);
}

/* Put @size bytes of code into the section, whose field starts @back bytes into them. */
static void put_code(struct given *given, const char *code, size_t size, size_t back)
{
	memcpy(given->section + FIELD - back, code, size);
}

static uint64_t field(const struct given *given, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, given->section + FIELD, bytes);
	return value;
}

/* --- fields that are computed from the inputs alone ----------------------------------------- */

struct plain {
	uint32_t type;
	uint8_t bytes;
	enum arch_reloc_need need;
	uint64_t expected; /* with an addend of 8 */
};

/* clang-format off */
static const struct plain plains[] = {
	{ R_X86_64_NONE,	0, RELOC_NEED_NOTHING,		0 },
	{ R_X86_64_64,		8, RELOC_NEED_VALUE,		NEAR + 8 },
	{ R_X86_64_PC32,	4, RELOC_NEED_VALUE,		NEAR + 8 - PLACE },
	{ R_X86_64_PC64,	8, RELOC_NEED_VALUE,		NEAR + 8 - PLACE },
	{ R_X86_64_PLT32,	4, RELOC_NEED_CALL,		NEAR + 8 - PLACE },
	{ R_X86_64_PLTOFF64,	8, RELOC_NEED_CALL,		STUB + 8 - GOT_BASE },
	{ R_X86_64_GOT32,	4, RELOC_NEED_GOT,		GOT + 8 - GOT_BASE },
	{ R_X86_64_GOT64,	8, RELOC_NEED_GOT,		GOT + 8 - GOT_BASE },
	{ R_X86_64_GOTPCREL,	4, RELOC_NEED_GOT,		GOT + 8 - PLACE },
	{ R_X86_64_GOTPCREL64,	8, RELOC_NEED_GOT,		GOT + 8 - PLACE },
	{ R_X86_64_GOTPCRELX,	4, RELOC_NEED_GOT,		GOT + 8 - PLACE },
	{ R_X86_64_REX_GOTPCRELX, 4, RELOC_NEED_GOT,		GOT + 8 - PLACE },
	{ R_X86_64_GOTOFF64,	8, RELOC_NEED_VALUE,		NEAR + 8 - GOT_BASE },
	{ R_X86_64_GOTPC32,	4, RELOC_NEED_NOTHING,		GOT_BASE + 8 - PLACE },
	{ R_X86_64_GOTPC64,	8, RELOC_NEED_NOTHING,		GOT_BASE + 8 - PLACE },
	{ R_X86_64_TLSGD,	4, RELOC_NEED_GOT_TLS_PAIR,	GOT + 8 - PLACE },
	{ R_X86_64_TLSLD,	4, RELOC_NEED_GOT_TLS_MODULE,	GOT + 8 - PLACE },
	{ R_X86_64_GOTTPOFF,	4, RELOC_NEED_GOT_TPOFF,	GOT + 8 - PLACE },
	{ R_X86_64_TPOFF32,	4, RELOC_NEED_TPOFF,		(uint32_t)-0x38 },
	{ R_X86_64_TPOFF64,	8, RELOC_NEED_TPOFF,		(uint64_t)-0x38 },
	{ R_X86_64_DTPOFF32,	4, RELOC_NEED_DTPOFF,		0x58 },
	{ R_X86_64_DTPOFF64,	8, RELOC_NEED_DTPOFF,		0x58 },
	{ R_X86_64_SIZE32,	4, RELOC_NEED_SIZE,		0x38 },
	{ R_X86_64_SIZE64,	8, RELOC_NEED_SIZE,		0x38 },
};
/* clang-format on */

static void test_each_type_computes_what_the_psabi_says(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(plains); i++) {
		struct given given = given_reloc(plains[i].type, 8);
		struct given before = given;

		assert_int_equal(arch_x86_64.reloc_need(plains[i].type), plains[i].need);
		assert_int_equal(apply(&given), 0);
		assert_int_equal(field(&given, plains[i].bytes), plains[i].expected);
		memcpy(given.section + FIELD, before.section + FIELD, plains[i].bytes);
		assert_memory_equal(given.section, before.section, SECTION_SIZE);
	}
}

struct range {
	uint32_t type;
	uint8_t bytes;
	int64_t least;
	int64_t most;
};

static const struct range absolute_ranges[] = {
	{ R_X86_64_8, 1, INT8_MIN, UINT8_MAX },
	{ R_X86_64_16, 2, INT16_MIN, UINT16_MAX },
	{ R_X86_64_32, 4, 0, UINT32_MAX },
	{ R_X86_64_32S, 4, INT32_MIN, INT32_MAX },
};

static const struct range relative_ranges[] = {
	{ R_X86_64_PC8, 1, INT8_MIN, INT8_MAX },
	{ R_X86_64_PC16, 2, INT16_MIN, INT16_MAX },
	{ R_X86_64_PC32, 4, INT32_MIN, INT32_MAX },
	{ R_X86_64_PLT32, 4, INT32_MIN, INT32_MAX },
};

static void check_value(const struct range *range, uint64_t base, int64_t value, int expected)
{
	struct given given = given_reloc(range->type, 0);
	struct given before;

	given.reloc.value = base + (uint64_t)value;
	given.reloc.stub = 0;
	before = given;
	assert_int_equal(arch_x86_64.reloc_need(range->type),
			 range->type == R_X86_64_PLT32 ? RELOC_NEED_CALL : RELOC_NEED_VALUE);
	assert_int_equal(apply(&given), expected);
	if (expected < 0)
		assert_memory_equal(given.section, before.section, SECTION_SIZE);
	else
		assert_memory_equal(given.section + FIELD, &value, range->bytes);
}

static void check_range(const struct range *range, uint64_t base)
{
	check_value(range, base, range->least, 0);
	check_value(range, base, range->most, 0);
	check_value(range, base, range->least - 1, -ERANGE);
	check_value(range, base, range->most + 1, -ERANGE);
}

static void test_values_are_accepted_up_to_the_ends_of_the_field(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(absolute_ranges); i++)
		check_range(&absolute_ranges[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(relative_ranges); i++)
		check_range(&relative_ranges[i], PLACE);
}

static void test_far_words_and_offsets_are_refused(void **state)
{
	static const uint32_t types[] = {
		R_X86_64_GOT32,	  R_X86_64_GOTPCREL, R_X86_64_TLSGD,
		R_X86_64_TLSLD,	  R_X86_64_GOTPC32,  R_X86_64_GOTTPOFF,
		R_X86_64_TPOFF32, R_X86_64_DTPOFF32, R_X86_64_SIZE32,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct given given = given_reloc(types[i], 0);

		given.reloc.got = PLACE + 0x80000000;
		given.reloc.got_base = types[i] == R_X86_64_GOT32 ? PLACE : PLACE + 0x80000000;
		given.reloc.tpoff = -0x80000001ll;
		given.reloc.dtpoff = 0x80000000ll;
		given.reloc.size = 0x100000000;
		assert_int_equal(apply(&given), -ERANGE);
	}
}

static void test_call_takes_the_stub_when_the_function_is_far(void **state)
{
	struct given given = given_reloc(R_X86_64_PLT32, -4);

	given.reloc.value = FAR;
	assert_int_equal(apply(&given), 0);
	assert_int_equal(field(&given, 4), STUB - 4 - PLACE);
	given.reloc.stub = 0;
	assert_int_equal(apply(&given), -ERANGE);
}

/* --- code that is rewritten ----------------------------------------------------------------- */

struct rewrite {
	uint32_t type;
	uint64_t value;
	const char *before;
	const char *after;
	uint8_t size;
	uint8_t back; /* the field's offset in the code */
};

#define REWRITE(type, value, back, before, after)                                                  \
	{                                                                                          \
		type, value, before, after, sizeof(before) - 1, back                               \
	}

static const struct rewrite rewrites[] = {
	/* mov x@gotpcrel(%rip),%rax: lea x(%rip),%rax; NEAR - 4 - PLACE is 0x1ffc */
	REWRITE(R_X86_64_REX_GOTPCRELX, NEAR, 3, "\x48\x8b\x05\0\0\0\0",
		"\x48\x8d\x05\xfc\x1f\0\0"),
	REWRITE(R_X86_64_REX_GOTPCRELX, NEAR, 3, "\x4c\x8b\x3d\0\0\0\0",
		"\x4c\x8d\x3d\xfc\x1f\0\0"),
	/* too far: the word, GOT - 4 - PLACE is 0xffc */
	REWRITE(R_X86_64_REX_GOTPCRELX, FAR, 3, "\x48\x8b\x05\0\0\0\0", "\x48\x8b\x05\xfc\x0f\0\0"),
	/* add x@gotpcrel(%rip),%rax stays */
	REWRITE(R_X86_64_REX_GOTPCRELX, NEAR, 3, "\x48\x03\x05\0\0\0\0",
		"\x48\x03\x05\xfc\x0f\0\0"),
	/* call *x@gotpcrel(%rip): addr32 call x */
	REWRITE(R_X86_64_GOTPCRELX, NEAR, 2, "\xff\x15\0\0\0\0", "\x67\xe8\xfc\x1f\0\0"),
	REWRITE(R_X86_64_GOTPCRELX, FAR, 2, "\xff\x15\0\0\0\0", "\xff\x15\xfc\x0f\0\0"),
	/* jmp *x@gotpcrel(%rip): jmp x; nop */
	REWRITE(R_X86_64_GOTPCRELX, NEAR, 2, "\xff\x25\0\0\0\0", "\xe9\xfd\x1f\0\0\x90"),
	REWRITE(R_X86_64_GOTPCRELX, FAR, 2, "\xff\x25\0\0\0\0", "\xff\x25\xfc\x0f\0\0"),
	/* data16 rex.W call *__tls_get_addr@gotpcrel(%rip) stays: a direct call would be 16 bits */
	REWRITE(R_X86_64_GOTPCRELX, NEAR, 4, "\x66\x48\xff\x15\0\0\0\0",
		"\x66\x48\xff\x15\xfc\x0f\0\0"),
	/* lea x@tlsdesc(%rip),%rax: mov x@gottpoff(%rip),%rax */
	REWRITE(R_X86_64_GOTPC32_TLSDESC, 0, 3, "\x48\x8d\x05\0\0\0\0", "\x48\x8b\x05\xfc\x0f\0\0"),
	/* call *x@tlscall(%rax): xchg %ax,%ax */
	REWRITE(R_X86_64_TLSDESC_CALL, 0, 0, "\xff\x10", "\x66\x90"),
	/* general dynamic stays, its call is another relocation */
	REWRITE(R_X86_64_TLSGD, 0, 4, "\x66\x48\x8d\x3d\0\0\0\0", "\x66\x48\x8d\x3d\xfc\x0f\0\0"),
	REWRITE(R_X86_64_GOTTPOFF, 0, 3, "\x48\x03\x05\0\0\0\0", "\x48\x03\x05\xfc\x0f\0\0"),
};

static void test_code_is_rewritten_as_the_psabi_allows(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rewrites); i++) {
		const struct rewrite *w = &rewrites[i];
		struct given given = given_reloc(w->type, -4);
		struct given expected = given;

		put_code(&given, w->before, w->size, w->back);
		put_code(&expected, w->after, w->size, w->back);
		given.reloc.value = w->value;
		assert_int_equal(apply(&given), 0);
		assert_memory_equal(given.section, expected.section, SECTION_SIZE);
	}
}

static void test_relaxation_stops_where_its_reach_ends(void **state)
{
	struct given given = given_reloc(R_X86_64_REX_GOTPCRELX, -4);

	put_code(&given, "\x48\x8b\x05\0\0\0\0", 7, 3);
	given.reloc.value = PLACE + 4 + 0x7ffffffe;
	assert_int_equal(apply(&given), 0);
	assert_memory_equal(given.section + FIELD - 3, "\x48\x8d\x05\xfe\xff\xff\x7f", 7);
	put_code(&given, "\x48\x8b\x05\0\0\0\0", 7, 3);
	given.reloc.value = PLACE + 4 + 0x80000000;
	assert_int_equal(apply(&given), 0);
	assert_memory_equal(given.section + FIELD - 3, "\x48\x8b\x05\xfc\x0f\0\0", 7);
}

static void test_relaxed_jump_needs_a_byte_more_of_reach(void **state)
{
	struct given given = given_reloc(R_X86_64_GOTPCRELX, -4);

	put_code(&given, "\xff\x25\0\0\0\0", 6, 2);
	given.reloc.value = PLACE + 4 + 0x7ffffffe;
	assert_int_equal(apply(&given), 0);
	assert_memory_equal(given.section + FIELD - 2, "\xe9\xff\xff\xff\x7f\x90", 6);
	put_code(&given, "\xff\x25\0\0\0\0", 6, 2);
	given.reloc.value = PLACE + 4 + 0x7fffffff;
	assert_int_equal(apply(&given), 0);
	assert_memory_equal(given.section + FIELD - 2, "\xff\x25\xfc\x0f\0\0", 6);
}

static void test_far_word_is_refused_and_leaves_the_code_alone(void **state)
{
	static const uint32_t types[] = { R_X86_64_REX_GOTPCRELX, R_X86_64_GOTPC32_TLSDESC };
	static const char *const codes[] = { "\x48\x8b\x05\0\0\0\0", "\x48\x8d\x05\0\0\0\0" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct given given = given_reloc(types[i], -4);

		put_code(&given, codes[i], 7, 3);
		given.reloc.value = FAR;
		given.reloc.got = FAR;
		assert_int_equal(apply(&given), -ERANGE);
		assert_memory_equal(given.section + FIELD - 3, codes[i], 7);
	}
}

static void test_other_code_than_the_psabi_prescribes_is_refused(void **state)
{
	struct given given = given_reloc(R_X86_64_GOTPC32_TLSDESC, -4);

	put_code(&given, "\x48\x8b\x05\0\0\0\0", 7, 3); /* mov instead of lea */
	assert_int_equal(apply(&given), -EINVAL);
	put_code(&given, "\x48\x8d\x04\0\0\0\0", 7, 3); /* not RIP-relative */
	assert_int_equal(apply(&given), -EINVAL);
	given = given_reloc(R_X86_64_TLSDESC_CALL, 0);
	put_code(&given, "\xff\xd0", 2, 0); /* call *%rax */
	assert_int_equal(apply(&given), -EINVAL);
	assert_memory_equal(given.section + FIELD, "\xff\xd0", 2);
}

/* --- bounds and names ------------------------------------------------------------------------- */

/* Sections are on the heap and exactly as long, so that a sanitizer sees what is out of bounds. */
static int apply_at(uint32_t type, size_t size, size_t offset)
{
	struct given given = given_reloc(type, -4);
	uint8_t *section = malloc(size ? size : 1);
	int r;

	assert_non_null(section);
	memset(section, 0x8d, size ? size : 1);
	r = arch_x86_64.reloc_apply(&given.reloc, section, size, offset);
	free(section);
	return r;
}

static void test_fields_out_of_bounds_are_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(plains); i++) {
		if (plains[i].type == R_X86_64_NONE) /* has no field */
			continue;
		assert_int_equal(apply_at(plains[i].type, 4 + plains[i].bytes, 5), -EINVAL);
		assert_int_equal(apply_at(plains[i].type, 16, 16), -EINVAL);
		assert_int_equal(apply_at(plains[i].type, 16, SIZE_MAX), -EINVAL);
		assert_int_equal(apply_at(plains[i].type, 0, 0), -EINVAL);
		assert_int_equal(apply_at(plains[i].type, 4 + plains[i].bytes, 4), 0);
	}
	assert_int_equal(apply_at(R_X86_64_TLSDESC_CALL, 8, 7), -EINVAL);
	assert_int_equal(apply_at(R_X86_64_NONE, 8, 9), -EINVAL);
}

static void test_code_before_the_section_is_not_looked_at(void **state)
{
	assert_int_equal(apply_at(R_X86_64_REX_GOTPCRELX, 16, 1), -EINVAL);
	assert_int_equal(apply_at(R_X86_64_GOTPCRELX, 16, 0), -EINVAL);
	assert_int_equal(apply_at(R_X86_64_GOTPCRELX, 16, 2), 0);
	assert_int_equal(apply_at(R_X86_64_GOTPC32_TLSDESC, 16, 2), -EINVAL);
}

static void test_types_of_finished_objects_are_unknown(void **state)
{
	static const uint32_t types[] = {
		R_X86_64_COPY,	   R_X86_64_GLOB_DAT,  R_X86_64_JUMP_SLOT, R_X86_64_RELATIVE,
		R_X86_64_DTPMOD64, R_X86_64_IRELATIVE, R_X86_64_NUM,	   UINT32_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(arch_x86_64.reloc_need(types[i]), -EINVAL);
		assert_null(arch_x86_64.reloc_name(types[i]));
		assert_int_equal(apply_at(types[i], 16, 8), -EINVAL);
	}
}

static void test_tls_descriptors_need_the_offset_in_a_word(void **state)
{
	assert_int_equal(arch_x86_64.reloc_need(R_X86_64_GOTPC32_TLSDESC), RELOC_NEED_TLSDESC);
	assert_int_equal(arch_x86_64.reloc_need(R_X86_64_TLSDESC_CALL), RELOC_NEED_TLSDESC);
}

static void test_types_have_their_names(void **state)
{
	assert_string_equal(arch_x86_64.reloc_name(R_X86_64_PC32), "R_X86_64_PC32");
	assert_string_equal(arch_x86_64.reloc_name(R_X86_64_REX_GOTPCRELX),
			    "R_X86_64_REX_GOTPCRELX");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type_computes_what_the_psabi_says),
		cmocka_unit_test(test_values_are_accepted_up_to_the_ends_of_the_field),
		cmocka_unit_test(test_far_words_and_offsets_are_refused),
		cmocka_unit_test(test_call_takes_the_stub_when_the_function_is_far),
		cmocka_unit_test(test_code_is_rewritten_as_the_psabi_allows),
		cmocka_unit_test(test_relaxation_stops_where_its_reach_ends),
		cmocka_unit_test(test_relaxed_jump_needs_a_byte_more_of_reach),
		cmocka_unit_test(test_far_word_is_refused_and_leaves_the_code_alone),
		cmocka_unit_test(test_other_code_than_the_psabi_prescribes_is_refused),
		cmocka_unit_test(test_fields_out_of_bounds_are_refused),
		cmocka_unit_test(test_code_before_the_section_is_not_looked_at),
		cmocka_unit_test(test_types_of_finished_objects_are_unknown),
		cmocka_unit_test(test_tls_descriptors_need_the_offset_in_a_word),
		cmocka_unit_test(test_types_have_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
