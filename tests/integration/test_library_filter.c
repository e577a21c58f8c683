/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <upatch/abi.h>

#include "livepatch/filters.h"

/* Processes with seccomp filters: libraries are followed where these permit what the agent does. */

#define REFUSE (SECCOMP_RET_ERRNO | 1 /* EPERM */)
#define KILL SECCOMP_RET_KILL_PROCESS
#define ALLOW SECCOMP_RET_ALLOW

enum {
	INSNS_MAX = 1024,
	MODE_ARG = 2, /* of mmap(2), mprotect(2) the protection, of openat(2) the flags */
};

/* --- filters ----------------------------------------------------------------------------------- */

struct filter {
	struct sock_filter insns[INSNS_MAX];
	size_t nr;
};

static void add(struct filter *filter, struct sock_filter insn)
{
	assert_true(filter->nr < INSNS_MAX);
	filter->insns[filter->nr++] = insn;
}

static void load(struct filter *filter, size_t offset)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void end(struct filter *filter, uint32_t action)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Another architecture's calls end it; then the number is there to be looked at. */
static void begin(struct filter *filter)
{
	filter->nr = 0;
	load(filter, offsetof(struct seccomp_data, arch));
	add(filter,
	    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	end(filter, KILL);
	load(filter, offsetof(struct seccomp_data, nr));
}

static void on(struct filter *filter, uint32_t nr, uint32_t action)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
	end(filter, action);
}

/* When these bits are set in the third argument. */
static void on_mode(struct filter *filter, uint32_t nr, uint32_t bits, uint32_t action)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 5));
	load(filter, offsetof(struct seccomp_data, args[MODE_ARG]));
	add(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1));
	end(filter, action);
	load(filter, offsetof(struct seccomp_data, nr));
}

static const char *store(struct fixture *f, const struct filter *filter)
{
	static char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/filter", f->dir);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(filter->insns, sizeof(*filter->insns), filter->nr, file),
			 filter->nr);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void install(struct fixture *f, const struct filter *filter)
{
	char command[256];

	snprintf(command, sizeof(command), "filter %s", store(f, filter));
	assert_answer(f, command, "ok");
}

static void install_in_thread(struct fixture *f, const struct filter *filter)
{
	char command[256];

	snprintf(command, sizeof(command), "filter thread %s", store(f, filter));
	assert_answer(f, command, "ok");
}

/* What the victim itself needs, and its C library and dynamic linker, and what the agent does. */
static const uint32_t needed[] = {
	SYS_read,	    SYS_write,	      SYS_close,   SYS_fstat,	  SYS_newfstatat,
	SYS_lseek,	    SYS_pread64,      SYS_openat,  SYS_brk,	  SYS_mmap,
	SYS_mprotect,	    SYS_munmap,	      SYS_madvise, SYS_futex,	  SYS_rt_sigaction,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_clone,   SYS_clone3,	  SYS_set_robust_list,
	SYS_rseq,	    SYS_wait4,	      SYS_pipe2,   SYS_getrandom, SYS_exit,
	SYS_exit_group,	    SYS_seccomp,      SYS_prctl,   SYS_pwrite64,  SYS_gettid,
	SYS_clock_gettime,
};

/* As systemd's SystemCallFilter= makes them. @without: not on the list, 0: none */
static void allow_list(struct filter *filter, uint32_t without, uint32_t otherwise)
{
	begin(filter);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!without || needed[i] != without)
			on(filter, needed[i], ALLOW);
	end(filter, otherwise);
}

/* As systemd's MemoryDenyWriteExecute=. */
static void deny_write_execute(struct filter *filter)
{
	begin(filter);
	on_mode(filter, SYS_mmap, PROT_WRITE | PROT_EXEC, REFUSE);
	on_mode(filter, SYS_mprotect, PROT_EXEC, REFUSE);
	on_mode(filter, SYS_pkey_mprotect, PROT_EXEC, REFUSE);
	end(filter, ALLOW);
}

/* Who opens files for both reading and writing. */
static void deny_open(struct filter *filter, uint32_t action)
{
	begin(filter);
	on_mode(filter, SYS_openat, O_RDWR, action);
	end(filter, ALLOW);
}

/* --- followed ---------------------------------------------------------------------------------- */

static void assert_follows_in_child_too(struct fixture *f)
{
	loader_apply(f, &loader_plug);
	assert_answer(f, "fork plug plug_value 1", "101 0");
	fixture_revert(f, "p");
	loader_assert_follows(f);
}

static void test_an_allow_list_with_all_that_it_takes(void **state)
{
	struct filter filter;

	allow_list(&filter, 0, REFUSE);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

static void test_an_allow_list_that_kills_otherwise(void **state)
{
	struct filter filter;

	allow_list(&filter, 0, KILL);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

static void test_memory_that_may_not_be_written_and_executed(void **state)
{
	struct filter filter;

	deny_write_execute(&filter);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

static void test_a_call_that_may_fail(void **state)
{
	struct filter filter;

	begin(&filter);
	on(&filter, SYS_clock_gettime, REFUSE);
	end(&filter, ALLOW);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

/* It is not even tried: that would be the end. */
static void test_protections_are_changed_where_files_may_not_be_opened(void **state)
{
	struct filter filter;

	deny_open(&filter, KILL);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

static void test_protections_are_changed_where_files_may_not_be_written(void **state)
{
	struct filter filter;

	begin(&filter);
	on(&filter, SYS_pwrite64, KILL);
	end(&filter, ALLOW);
	install(*state, &filter);
	assert_follows_in_child_too(*state);
}

static void test_threads_with_filters_of_their_own(void **state)
{
	struct fixture *f = *state;
	struct filter filter;

	assert_answer(f, "block", "ok");
	deny_write_execute(&filter);
	install_in_thread(f, &filter);
	allow_list(&filter, 0, REFUSE);
	install_in_thread(f, &filter);
	install_in_thread(f, &filter);
	loader_assert_follows(f);
}

static void test_threads_that_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct filter filter;

	allow_list(&filter, 0, REFUSE);
	install(f, &filter);
	for (int i = 0; i < 4; i++)
		assert_answer(f, "churn", "ok");
	loader_assert_follows(f);
}

static void test_a_main_thread_that_has_exited(void **state)
{
	struct fixture *f = *state;
	struct filter filter;

	allow_list(&filter, 0, REFUSE);
	install(f, &filter);
	assert_answer(f, "leave", "ok");
	loader_assert_follows(f);
}

/* --- not followed ------------------------------------------------------------------------------ */

static void assert_left_alone(struct fixture *f, const char *why)
{
	loader_assert_not_followed(f, why);
	loader_assert_patches_what_is_there(f);
}

static void test_a_call_that_kills(void **state)
{
	struct filter filter;

	begin(&filter);
	on(&filter, SYS_gettid, KILL);
	end(&filter, ALLOW);
	install(*state, &filter);
	assert_left_alone(*state, "gettid(2)");
}

static void test_a_call_that_may_fail_and_kills(void **state)
{
	struct filter filter;

	allow_list(&filter, SYS_clock_gettime, KILL);
	install(*state, &filter);
	assert_left_alone(*state, "clock_gettime(2)");
}

static void test_an_allow_list_without_a_call_that_it_takes(void **state)
{
	struct filter filter;

	allow_list(&filter, SYS_gettid, REFUSE);
	install(*state, &filter);
	assert_left_alone(*state, "gettid(2)");
}

static void test_neither_files_nor_protections(void **state)
{
	struct filter filter;

	deny_open(&filter, REFUSE);
	install(*state, &filter);
	deny_write_execute(&filter);
	install(*state, &filter);
	assert_left_alone(*state, "mprotect(2)");
}

static void test_the_filter_of_one_thread_decides(void **state)
{
	struct fixture *f = *state;
	struct filter filter;

	end(memset(&filter, 0, sizeof(filter)), ALLOW);
	install(f, &filter);
	begin(&filter);
	on(&filter, SYS_munmap, SECCOMP_RET_TRAP);
	end(&filter, ALLOW);
	install_in_thread(f, &filter);
	assert_left_alone(f, "munmap(2)");
}

static void test_a_thread_in_strict_mode(void **state)
{
	assert_answer(*state, "filter strict", "ok");
	assert_left_alone(*state, "strict mode");
}

/* Of this thread. @keep: or else it goes, from what is in effect */
static void set_admin(int keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	const uint32_t bit = 1u << CAP_SYS_ADMIN;

	assert_int_equal(syscall(SYS_capget, &header, caps), 0);
	caps[0].effective = keep ? caps[0].effective | bit : caps[0].effective & ~bit;
	assert_int_equal(syscall(SYS_capset, &header, caps), 0);
}

static void test_a_filter_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	struct filter filter;

	end(memset(&filter, 0, sizeof(filter)), ALLOW);
	install(f, &filter);
	set_admin(0);
	loader_assert_not_followed(f, "CAP_SYS_ADMIN");
	set_admin(1);
	loader_assert_follows(f);
}

static void test_a_build_that_is_required_must_be_seen_coming(void **state)
{
	const struct loader_patch required = {
		.name = "p",
		.sources = { loader_both.sources[0], loader_both.sources[1] },
		.required = "libplug.so",
	};
	struct fixture *f = *state;
	struct filter filter;

	begin(&filter);
	on(&filter, SYS_gettid, KILL);
	end(&filter, ALLOW);
	install(f, &filter);
	fixture_remember(f);
	assert_true(loader_try_apply(f, &required, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_NOT_FOLLOWED);
	fixture_assert_unchanged(f);
	assert_answer(f, "own 1", "4");
}

/* --- the table of the agent's system calls ----------------------------------------------------- */

static void find_agent(struct fixture *f, struct upatch_region *ret)
{
	struct upatch_record record;

	fixture_read(f, fixture_record_addr(f), &record, sizeof(record));
	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (record.regions[i].kind == UPATCH_REGION_AGENT &&
		    record.regions[i].state == UPATCH_REGION_MAPPED) {
			*ret = record.regions[i];
			return;
		}
	fail_msg("it has no agent");
}

/* Go on if a 64-bit word is like that, else skip @skip instructions behind this. */
static void expect(struct filter *filter, size_t offset, uint64_t value, uint8_t skip)
{
	load(filter, offset);
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)value, 0,
						 (uint8_t)(skip + 2)));
	load(filter, offset + sizeof(uint32_t));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value >> 32),
						 0, skip));
}

/* Return from the filter if it is this call. */
static void allow_call(struct filter *filter, const struct filters_call *call)
{
	int nr_left = __builtin_popcount(call->known);

	load(filter, offsetof(struct seccomp_data, nr));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call->nr, 0,
						 (uint8_t)(4 * nr_left + 1)));
	for (int i = 0; i < 6; i++)
		if (call->known >> i & 1)
			expect(filter, offsetof(struct seccomp_data, args[i]), call->args[i],
			       (uint8_t)(4 * --nr_left + 1));
	end(filter, ALLOW);
}

/* From the agent's code, only what is in the table; all else from elsewhere. It may be killed from here on. */
static void allow_the_table(struct fixture *f)
{
	const size_t ip = offsetof(struct seccomp_data, instruction_pointer);
	const struct filters_call *calls;
	struct upatch_region agent = {};
	struct filter filter = {};
	uint32_t low;
	size_t nr;

	find_agent(f, &agent);
	calls = filters_calls(&nr);
	low = (uint32_t)agent.addr;
	assert_true(agent.text_size && low + agent.text_size <= UINT32_MAX);
	/* The instruction behind the call is what filters see. */
	load(&filter, ip + sizeof(uint32_t));
	add(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						  (uint32_t)(agent.addr >> 32), 0, 3));
	load(&filter, ip);
	add(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low, 0, 1));
	add(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K,
						  low + (uint32_t)agent.text_size, 0, 1));
	end(&filter, ALLOW);
	for (size_t i = 0; i < nr; i++)
		allow_call(&filter, &calls[i]);
	end(&filter, KILL);
	install(f, &filter);
}

/* One that has variables of its own. */
static const struct loader_patch shadowing = {
	.name = "p",
	.sources = { "#include <upatch/livepatch.h>\n"
		     "UPATCH_OBJECT(\"libplug.so\");\n"
		     "static int new_value(int x)\n"
		     "{\n"
		     "	int *known = upatch_shadow_get_or_alloc(&known, 1, 40000, 0, 0);\n"
		     "	int is_new = known && !*known;\n"
		     "	upatch_shadow_free(&known, 1, 0);\n"
		     "	return x + 100 * is_new;\n"
		     "}\n"
		     "UPATCH_FUNC(plug_value, new_value);\n" },
};

static void assert_agent_keeps_to_the_table(struct fixture *f)
{
	loader_apply(f, &shadowing);
	allow_the_table(f);
	for (int i = 0; i < 2; i++) {
		assert_answer(f, "open plug", "ok");
		assert_answer(f, "notes", "notes begin 101");
		assert_answer(f, "mopen plug", "ok");
		assert_answer(f, "close plug", "ok");
		assert_answer(f, "close plug", "ok");
		assert_answer(f, "notes", "notes end 101");
	}
	assert_answer(f, "fork plug plug_value 1", "101 0");
	assert_answer(f, "storm 2 5", "storm 101");
	(void)fixture_ask(f, "notes");
	fixture_revert(f, "p");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
}

static void test_the_agent_calls_what_its_table_says(void **state)
{
	assert_agent_keeps_to_the_table(*state);
}

static void test_the_agent_calls_what_its_table_says_without_its_file(void **state)
{
	struct filter filter;

	deny_open(&filter, REFUSE);
	install(*state, &filter);
	assert_agent_keeps_to_the_table(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_an_allow_list_with_all_that_it_takes),
		loader_test(test_an_allow_list_that_kills_otherwise),
		loader_test(test_memory_that_may_not_be_written_and_executed),
		loader_test(test_a_call_that_may_fail),
		loader_test(test_protections_are_changed_where_files_may_not_be_opened),
		loader_test(test_protections_are_changed_where_files_may_not_be_written),
		loader_test(test_threads_with_filters_of_their_own),
		loader_test(test_threads_that_come_and_go),
		loader_test(test_a_main_thread_that_has_exited),
		loader_test(test_a_call_that_kills),
		loader_test(test_a_call_that_may_fail_and_kills),
		loader_test(test_an_allow_list_without_a_call_that_it_takes),
		loader_test(test_neither_files_nor_protections),
		loader_test(test_the_filter_of_one_thread_decides),
		loader_test(test_a_thread_in_strict_mode),
		loader_test(test_a_filter_that_cannot_be_read),
		loader_test(test_a_build_that_is_required_must_be_seen_coming),
		loader_test(test_the_agent_calls_what_its_table_says),
		loader_test(test_the_agent_calls_what_its_table_says_without_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
