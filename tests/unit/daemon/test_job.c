/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "job.h"
#include "wire.h"

/* What a worker reports, on its way to the daemon. */

static void add_threads(struct job_result *result, size_t nr, const char *function)
{
	result->threads = calloc(nr, sizeof(*result->threads));
	assert_non_null(result->threads);
	for (size_t i = 0; i < nr; i++) {
		result->threads[i] = (struct job_thread){
			.tid = (pid_t)(i + 1),
			.reason = UPATCH_E_IN_FUNCTION,
			.function = strdup(function),
		};
		assert_non_null(result->threads[i].function);
	}
	result->nr_threads = nr;
}

static void transfer(const struct job_result *result, struct job_result *ret)
{
	struct wire w;

	assert_int_equal(wire_init(&w), 0);
	job_result_put(&w, result);
	assert_false(w.has_failed);
	assert_int_equal(job_result_get(&w, ret), 0);
	wire_deinit(&w);
}

static void test_threads_that_hold_a_transition_are_named(void **state)
{
	struct job_result result = { .outcome = UPATCH_PENDING }, received;

	add_threads(&result, 100, "ngx_http_v2_state_headers");
	transfer(&result, &received);
	assert_int_equal(received.nr_threads, 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(received.threads[i].tid, i + 1);
		assert_int_equal(received.threads[i].reason, UPATCH_E_IN_FUNCTION);
		assert_string_equal(received.threads[i].function, "ngx_http_v2_state_headers");
	}
	job_result_deinit(&received);
	job_result_deinit(&result);
}

/* What does not fit is left out: that the transition is open is what counts. */
static void test_many_threads_do_not_cost_the_result(void **state)
{
	static const char name[] =
		"_ZN5boost4asio6detail9scheduler10do_run_oneERNS1_27conditionally"
		"_enabled_mutex11scoped_lockERNS1_21scheduler_thread_infoE";
	struct job_result result = { .outcome = UPATCH_PENDING }, received;

	add_threads(&result, PROCESS_THREADS_MAX, name);
	transfer(&result, &received);
	assert_int_equal(received.outcome, UPATCH_PENDING);
	assert_in_range(received.nr_threads, 100, PROCESS_THREADS_MAX);
	assert_int_equal(received.threads[received.nr_threads - 1].tid, received.nr_threads);
	assert_string_equal(received.threads[received.nr_threads - 1].function, name);
	job_result_deinit(&received);
	job_result_deinit(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_that_hold_a_transition_are_named),
		cmocka_unit_test(test_many_threads_do_not_cost_the_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
