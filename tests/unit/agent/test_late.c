/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that lead to a library while it is there, and to a trap else: the agent's source, built for the host. */
#include "agent/late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dl_map.h"
#include "agent/dl_record.h"
#include "agent/event.h"

#include <cmocka.h>

/* Where the library is, and what it exports. */
#define LIBRARY 0x7f0000000000ull
#define LIBRARY_SIZE 0x3000
#define ONE (LIBRARY + 0x1000)
#define TWO (LIBRARY + 0x2000)

static uint64_t words[UPATCH_LATE_MAX];
static struct event last_event;
static char said[256];

/* --- what the agent has beside that ---------------------------------------------------------------- */

struct upatch_agent_data agent_data;
extern uint8_t dl_traps[];
uint8_t dl_traps[UPATCH_LATE_MAX * UPATCH_TRAP_SIZE];

bool dl_map_is_named(const struct dl_map *map, const char *name)
{
	return strcmp(map->name, name) == 0;
}

bool lookup_open(uint64_t bias, const Elf64_Dyn *dynamic, struct lookup_object *ret)
{
	(void)dynamic;
	ret->bias = bias;
	return bias;
}

static uint64_t choose(void)
{
	return TWO + 8;
}

bool lookup_symbol(const struct lookup_object *object, const char *name, const char *version,
		   struct lookup_symbol *ret)
{
	static const struct {
		const char *name;
		struct lookup_symbol symbol;
	} exports[] = {
		{ "one", { .value = ONE, .type = STT_FUNC } },
		{ "two", { .value = TWO, .type = STT_OBJECT } },
		{ "per_thread", { .value = 8, .type = STT_TLS } },
	};

	assert_int_equal(object->bias, LIBRARY);
	assert_null(version);
	if (strcmp(name, "chosen") == 0) {
		*ret = (struct lookup_symbol){ .value = (uintptr_t)choose, .type = STT_GNU_IFUNC };
		return true;
	}
	for (size_t i = 0; i < sizeof(exports) / sizeof(exports[0]); i++)
		if (strcmp(exports[i].name, name) == 0) {
			*ret = exports[i].symbol;
			return true;
		}
	return false;
}

long dl_record_store(const struct poke *poke, const void *field, const void *value, size_t size)
{
	(void)poke;
	assert_true((const uint64_t *)field >= words &&
		    (const uint64_t *)field < words + UPATCH_LATE_MAX);
	assert_int_equal(size, sizeof(words[0]));
	memcpy(&words[(const uint64_t *)field - words], value, size);
	return 0;
}

void event_add(const struct event *event)
{
	last_event = *event;
}

long sys_write(long fd, const void *bytes, size_t size)
{
	assert_int_equal(fd, 2);
	strncat(said, bytes, size);
	return (long)size;
}

/* --- fixture ------------------------------------------------------------------------------------- */

static const struct dl_map library = { .bias = LIBRARY, .name = "libx.so" };
static const struct dl_map other = { .bias = LIBRARY, .name = "liby.so" };
static const struct dl_image image = { .start = LIBRARY, .end = LIBRARY + LIBRARY_SIZE };

static uint64_t trap(int index)
{
	return (uintptr_t)dl_traps + (uint64_t)index * UPATCH_TRAP_SIZE;
}

static int setup(void **state)
{
	(void)state;
	memset(&agent_data, 0, sizeof(agent_data));
	memset(&last_event, 0, sizeof(last_event));
	memset(words, 0, sizeof(words));
	said[0] = '\0';
	return 0;
}

/* As late_settle() and late_write() leave it. */
static void add(int index, const char *object, const char *name)
{
	struct upatch_late *late = &agent_data.late[index];

	words[index] = trap(index);
	late->seq = 5;
	late->word = (uintptr_t)&words[index];
	strcpy(late->object, object);
	strcpy(late->name, name);
}

static void test_a_library_that_comes_has_its_words(void **state)
{
	(void)state;
	assert_false(late_is_any());
	add(0, "libx.so", "one");
	add(1, "libx.so", "no_such");
	add(2, "libz.so", "one");
	add(UPATCH_LATE_MAX - 1, "libx.so", "two");
	assert_true(late_is_any());
	late_resolve(NULL, &other);
	assert_int_equal(words[0], trap(0));
	late_resolve(NULL, &library);
	assert_int_equal(words[0], ONE);
	assert_int_equal(words[1], trap(1));
	assert_int_equal(words[2], trap(2));
	assert_int_equal(words[UPATCH_LATE_MAX - 1], TWO);
}

static void
test_of_indirect_functions_the_resolver_chooses_and_of_threads_there_is_none(void **state)
{
	(void)state;
	add(3, "libx.so", "chosen");
	add(4, "libx.so", "per_thread");
	late_resolve(NULL, &library);
	assert_int_equal(words[3], TWO + 8);
	assert_int_equal(words[4], trap(4));
}

static void test_the_first_copy_keeps_them(void **state)
{
	(void)state;
	add(0, "libx.so", "one");
	words[0] = 0x1234;
	late_resolve(NULL, &library);
	assert_int_equal(words[0], 0x1234);
}

static void test_a_library_that_goes_leaves_traps(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		add(i, "libx.so", "one");
	words[0] = LIBRARY;
	words[1] = LIBRARY + LIBRARY_SIZE - 1;
	words[2] = LIBRARY + LIBRARY_SIZE;
	words[3] = LIBRARY - 1;
	late_lose(NULL, &image);
	assert_int_equal(words[0], trap(0));
	assert_int_equal(words[1], trap(1));
	/* Another copy's. */
	assert_int_equal(words[2], LIBRARY + LIBRARY_SIZE);
	assert_int_equal(words[3], LIBRARY - 1);
	/* And once more. */
	late_resolve(NULL, &library);
	assert_int_equal(words[0], ONE);
}

static void test_what_is_free_is_not_looked_at(void **state)
{
	(void)state;
	add(0, "libx.so", "one");
	agent_data.late[0].seq = 0;
	/* Its payload has gone. */
	agent_data.late[0].word = 8;
	late_resolve(NULL, &library);
	late_lose(NULL, &image);
	assert_false(late_is_any());
	assert_int_equal(words[0], trap(0));
}

static void test_a_trap_says_what_was_called(void **state)
{
	(void)state;
	add(7, "libx.so", "one");
	late_trapped(7);
	assert_int_equal(last_event.kind, UPATCH_EVENT_TRAPPED);
	assert_int_equal(last_event.seq, 5);
	assert_string_equal(last_event.object, "libx.so");
	assert_string_equal(last_event.detail, "one");
	assert_string_equal(said, "upatch: a replacement called 'one' of 'libx.so', which is not "
				  "loaded\n");
}

#define STORY(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_library_that_comes_has_its_words),
		STORY(test_of_indirect_functions_the_resolver_chooses_and_of_threads_there_is_none),
		STORY(test_the_first_copy_keeps_them),
		STORY(test_a_library_that_goes_leaves_traps),
		STORY(test_what_is_free_is_not_looked_at),
		STORY(test_a_trap_says_what_was_called),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
