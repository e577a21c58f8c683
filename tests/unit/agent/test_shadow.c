/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blob.h"

#include <cmocka.h>

enum { ID = 7, OTHER_ID = 8, NR_THREADS = 4, ROUNDS = 20000 };

/* Tests run one after another; constructors have no other way to the agent. */
static struct agent agent;
static int nr_ctors, nr_dtors;
static int objects[300];

static int setup(void **state)
{
	agent_map(&agent);
	nr_ctors = nr_dtors = 0;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(agent.data->nr_shadows, 0);
	agent_unmap(&agent);
	return 0;
}

static int count_ctor(void *obj, void *data, void *ctor_data)
{
	nr_ctors++;
	*(int *)data = ctor_data ? *(int *)ctor_data : 0;
	return 0;
}

static int failing_ctor(void *obj, void *data, void *ctor_data)
{
	nr_ctors++;
	memset(data, 0xff, 8);
	return -1;
}

static void count_dtor(void *obj, void *data)
{
	nr_dtors++;
	/* It is out of the table before. */
	assert_null(agent.get(obj, ID));
}

/* Anonymous mappings of this process. */
static size_t nr_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t nr = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		nr++;
	fclose(maps);
	return nr;
}

static void test_the_head_describes_the_blob(void **state)
{
	const struct upatch_agent *head = agent.head;

	assert_memory_equal(head->magic, UPATCH_AGENT_MAGIC, 8);
	assert_int_equal(head->version, UPATCH_AGENT_VERSION);
	assert_int_equal(head->text_size % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(head->data_size % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(head->fork_offset % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(head->fork_offset + head->fork_size, head->text_size + head->data_size);
	assert_int_equal(head->nr_exports, 14);
	/* .eh_frame_hdr: version 1, a sorted table. */
	assert_int_equal(agent.base[head->eh_frame_hdr_offset], 1);
	assert_int_equal(agent.base[head->eh_frame_hdr_offset + 3], 0x3b);
}

static void test_a_variable_is_found_by_object_and_id(void **state)
{
	int value = 42;
	int *data = agent.alloc(&objects[0], ID, sizeof(int), count_ctor, &value);

	assert_non_null(data);
	assert_int_equal((uintptr_t)data % 16, 0);
	assert_int_equal(*data, 42);
	assert_ptr_equal(agent.get(&objects[0], ID), data);
	assert_null(agent.get(&objects[0], OTHER_ID));
	assert_null(agent.get(&objects[1], ID));
	assert_int_equal(agent.data->nr_shadows, 1);
	agent.free(&objects[0], ID, count_dtor);
	assert_null(agent.get(&objects[0], ID));
	assert_int_equal(nr_dtors, 1);
	agent.free(&objects[0], ID, count_dtor); /* it is gone: nothing happens */
	assert_int_equal(nr_dtors, 1);
}

static void test_a_duplicate_is_refused_and_its_constructor_not_run(void **state)
{
	int *data = agent.alloc(&objects[0], ID, sizeof(int), count_ctor, NULL);

	assert_non_null(data);
	assert_null(agent.alloc(&objects[0], ID, sizeof(int), count_ctor, NULL));
	assert_ptr_equal(agent.get_or_alloc(&objects[0], ID, sizeof(int), count_ctor, NULL), data);
	assert_int_equal(nr_ctors, 1);
	assert_non_null(agent.get_or_alloc(&objects[0], OTHER_ID, sizeof(int), count_ctor, NULL));
	assert_int_equal(nr_ctors, 2);
	agent.free(&objects[0], ID, NULL);
	agent.free(&objects[0], OTHER_ID, NULL);
}

static void test_a_failing_constructor_leaves_nothing(void **state)
{
	size_t before = nr_mappings();

	assert_null(agent.alloc(&objects[0], ID, 100, failing_ctor, NULL));
	assert_null(agent.get_or_alloc(&objects[0], ID, 100, failing_ctor, NULL));
	assert_int_equal(nr_ctors, 2);
	assert_null(agent.get(&objects[0], ID));
	assert_int_equal(agent.data->nr_shadows, 0);
	assert_int_equal(nr_mappings(), before);
}

static void test_memory_is_zeroed_also_when_it_was_used_before(void **state)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 500, 8000, 9000, 1 << 20 };
	static const uint8_t zeroes[1 << 20];
	size_t before = nr_mappings();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* One that stays, so that the arena does. */
		assert_non_null(agent.alloc(&objects[1], ID, sizes[i], NULL, NULL));
		for (int round = 0; round < 4; round++) {
			uint8_t *data = agent.alloc(&objects[0], ID, sizes[i], NULL, NULL);

			assert_non_null(data);
			assert_memory_equal(data, zeroes, sizes[i]);
			memset(data, 0xa5, sizes[i]);
			agent.free(&objects[0], ID, NULL);
		}
		agent.free(&objects[1], ID, NULL);
	}
	assert_int_equal(nr_mappings(), before);
	assert_null(agent.alloc(&objects[0], ID, SIZE_MAX, NULL, NULL));
	assert_null(agent.alloc(&objects[0], ID, SIZE_MAX - 40, NULL, NULL));
	assert_null(agent.alloc(&objects[0], ID, PTRDIFF_MAX, NULL, NULL));
	assert_null(agent.alloc(&objects[0], ID, 1ull << 60, NULL, NULL));
}

static void test_free_all_frees_one_id_and_gives_the_memory_back(void **state)
{
	size_t before = nr_mappings();

	for (int i = 0; i < 300; i++) {
		int *one = agent.alloc(&objects[i], ID, 300, count_ctor, &i);

		assert_non_null(one);
		assert_non_null(agent.alloc(&objects[i], OTHER_ID, 8, NULL, NULL));
	}
	for (int i = 0; i < 300; i++)
		assert_int_equal(*(int *)agent.get(&objects[i], ID), i);
	agent.free_all(ID, count_dtor);
	assert_int_equal(nr_dtors, 300);
	assert_int_equal(agent.data->nr_shadows, 300);
	for (int i = 0; i < 300; i++) {
		assert_null(agent.get(&objects[i], ID));
		assert_non_null(agent.get(&objects[i], OTHER_ID));
	}
	agent.free_all(OTHER_ID, NULL);
	assert_int_equal(nr_mappings(), before);
}

static int nosy_ctor(void *obj, void *data, void *ctor_data)
{
	/* Lookups work; what needs the lock refuses, instead of waiting for itself. */
	assert_non_null(agent.get(ctor_data, ID));
	assert_ptr_equal(agent.get_or_alloc(ctor_data, ID, 8, NULL, NULL),
			 agent.get(ctor_data, ID));
	assert_null(agent.alloc(&objects[5], ID, 8, NULL, NULL));
	agent.free(ctor_data, ID, NULL);
	agent.free_all(ID, NULL);
	assert_non_null(agent.get(ctor_data, ID));
	return 0;
}

static void test_a_constructor_may_look_variables_up(void **state)
{
	assert_non_null(agent.alloc(&objects[0], ID, 8, NULL, NULL));
	assert_non_null(agent.alloc(&objects[1], ID, 8, nosy_ctor, &objects[0]));
	agent.free_all(ID, NULL);
}

/* --- threads -------------------------------------------------------------------------------------- */

struct shared {
	uint64_t magic;
	uint64_t check;
};

static int shared_ctor(void *obj, void *data, void *ctor_data)
{
	struct shared *shared = data;

	shared->magic = (uintptr_t)obj;
	shared->check = ~shared->magic;
	__atomic_fetch_add(&nr_ctors, 1, __ATOMIC_RELAXED);
	return 0;
}

static void shared_dtor(void *obj, void *data)
{
	struct shared *shared = data;

	if (shared->magic != (uintptr_t)obj || shared->check != ~shared->magic)
		abort();
	__atomic_fetch_add(&nr_dtors, 1, __ATOMIC_RELAXED);
}

/* Everything at once, on the same eight objects. */
static void *hammer(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		int *obj = &objects[rand_r(&seed) % 8];

		switch (rand_r(&seed) % 8) {
		case 0:
			(void)agent.alloc(obj, ID, sizeof(struct shared), shared_ctor, NULL);
			break;
		case 1:
			(void)agent.get_or_alloc(obj, ID, sizeof(struct shared), shared_ctor, NULL);
			break;
		case 2:
			agent.free(obj, ID, shared_dtor);
			break;
		case 3:
			if (i % 64 == 0)
				agent.free_all(ID, shared_dtor);
			break;
		default:
			(void)agent.get(obj, ID);
		}
	}
	return NULL;
}

static void test_four_threads_hammer_one_id(void **state)
{
	pthread_t threads[NR_THREADS];
	size_t before;

	/* The stacks and heaps of the threads of the first round stay. */
	for (int round = 0; round < 2; round++) {
		before = nr_mappings();
		for (uintptr_t i = 0; i < NR_THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)),
					 0);
		for (int i = 0; i < NR_THREADS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		agent.free_all(ID, shared_dtor);
	}
	assert_true(nr_ctors > 1000);
	assert_int_equal(nr_ctors, nr_dtors);
	assert_int_equal(agent.data->nr_shadows, 0);
	assert_int_equal(nr_mappings(), before);
}

static void *count_up(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		int *counter = agent.get_or_alloc(&objects[0], ID, sizeof(int), count_ctor, NULL);

		__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_four_threads_get_the_same_variable(void **state)
{
	pthread_t threads[NR_THREADS];

	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(nr_ctors, 1);
	assert_int_equal(*(int *)agent.get(&objects[0], ID), NR_THREADS * ROUNDS);
	agent.free(&objects[0], ID, NULL);
}

/* --- signals -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t nr_handled;

static void handle(int signal)
{
	agent.free(&objects[0], ID, NULL);
	(void)agent.get_or_alloc(&objects[0], ID, 8, NULL, NULL);
	nr_handled++;
}

static void *interrupt(void *arg)
{
	pthread_t thread = *(pthread_t *)arg;

	for (int i = 0; i < ROUNDS / 10; i++)
		pthread_kill(thread, SIGUSR1);
	return NULL;
}

static void test_a_signal_handler_may_call_whatever_it_interrupts(void **state)
{
	struct sigaction action = { .sa_handler = handle };
	pthread_t self = pthread_self(), thread;
	sigset_t set, after;

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
	for (int i = 0; i < ROUNDS || !nr_handled; i++) {
		(void)agent.get_or_alloc(&objects[0], ID, 8, NULL, NULL);
		(void)agent.get(&objects[0], ID);
		agent.free(&objects[0], ID, NULL);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_memory_equal(&set, &after, sizeof(unsigned long));
	agent.free_all(ID, NULL);
}

/* --- fork ------------------------------------------------------------------------------------------ */

/* Return: the child's exit status. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int child_changes_its_copy(void)
{
	int *data = agent.get(&objects[0], ID);

	if (!data || *data != 42)
		return 1;
	*data = 43;
	if (!agent.alloc(&objects[1], ID, 8, NULL, NULL))
		return 2;
	agent.free_all(ID, NULL);
	return agent.data->nr_shadows ? 3 : 0;
}

static void test_a_child_has_its_own_copy(void **state)
{
	int value = 42;

	assert_non_null(agent.alloc(&objects[0], ID, sizeof(int), count_ctor, &value));
	assert_int_equal(in_child(child_changes_its_copy), 0);
	assert_int_equal(*(int *)agent.get(&objects[0], ID), 42);
	assert_null(agent.get(&objects[1], ID));
	agent.free_all(ID, NULL);
}

static int gate_to[2], gate_from[2];

/* Holds the lock until it is let go. */
static int waiting_ctor(void *obj, void *data, void *ctor_data)
{
	char c = 'x';

	return write(gate_to[1], &c, 1) == 1 && read(gate_from[0], &c, 1) == 1 ? 0 : -1;
}

static void *hold_the_lock(void *arg)
{
	return agent.alloc(&objects[1], ID, 8, waiting_ctor, NULL);
}

static int child_of_a_locked_parent(void)
{
	if (!agent.get(&objects[0], ID) || agent.get(&objects[1], ID))
		return 1;
	/* Nobody in this process will ever release the parent's lock. */
	if (!agent.alloc(&objects[1], ID, 8, NULL, NULL))
		return 2;
	if (agent.data->nr_shadows != 2)
		return 3;
	agent.free(&objects[0], ID, NULL);
	agent.free_all(ID, NULL);
	if (agent.data->nr_shadows)
		return 4;
	for (int i = 0; i < 300; i++)
		if (!agent.alloc(&objects[i], ID, 300, NULL, NULL))
			return 5;
	agent.free_all(ID, NULL);
	return agent.data->nr_shadows ? 6 : 0;
}

static void test_a_child_does_not_wait_for_a_lock_held_at_fork(void **state)
{
	pthread_t thread;
	void *result;
	char c = 'x';

	assert_int_equal(pipe(gate_to), 0);
	assert_int_equal(pipe(gate_from), 0);
	assert_non_null(agent.alloc(&objects[0], ID, 8, NULL, NULL));
	assert_int_equal(pthread_create(&thread, NULL, hold_the_lock, NULL), 0);
	assert_int_equal(read(gate_to[0], &c, 1), 1);
	assert_int_equal(in_child(child_of_a_locked_parent), 0);
	/* In the parent the lock is still held, and readers do not mind. */
	assert_non_null(agent.get(&objects[0], ID));
	assert_null(agent.get(&objects[1], ID));
	assert_int_equal(write(gate_from[1], &c, 1), 1);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_non_null(result);
	assert_int_equal(agent.data->nr_shadows, 2);
	agent.free_all(ID, NULL);
	for (int i = 0; i < 2; i++) {
		close(gate_to[i]);
		close(gate_from[i]);
	}
}

static int child_works(void)
{
	unsigned int seed = 1;

	for (int i = 0; i < 200; i++) {
		int *obj = &objects[rand_r(&seed) % 8];

		agent.free(obj, ID, shared_dtor);
		if (!agent.get_or_alloc(obj, ID, sizeof(struct shared), shared_ctor, NULL))
			return 1;
	}
	agent.free_all(ID, shared_dtor);
	return agent.data->nr_shadows ? 2 : 0;
}

static void test_children_forked_under_load_work(void **state)
{
	pthread_t threads[NR_THREADS];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(in_child(child_works), 0);
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	agent.free_all(ID, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_the_head_describes_the_blob),
		TEST(test_a_variable_is_found_by_object_and_id),
		TEST(test_a_duplicate_is_refused_and_its_constructor_not_run),
		TEST(test_a_failing_constructor_leaves_nothing),
		TEST(test_memory_is_zeroed_also_when_it_was_used_before),
		TEST(test_free_all_frees_one_id_and_gives_the_memory_back),
		TEST(test_a_constructor_may_look_variables_up),
		TEST(test_four_threads_hammer_one_id),
		TEST(test_four_threads_get_the_same_variable),
		TEST(test_a_signal_handler_may_call_whatever_it_interrupts),
		TEST(test_a_child_has_its_own_copy),
		TEST(test_a_child_does_not_wait_for_a_lock_held_at_fork),
		TEST(test_children_forked_under_load_work),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
