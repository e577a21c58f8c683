/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "target/seccomp.h"
#include "target/thread.h"

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field)                                                                           \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field) + 4)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define JEQ(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)
#define ALLOW SECCOMP_RET_ALLOW

/* Anything that is not known. */
static const struct seccomp_call getpid_call = { AUDIT_ARCH_X86_64, SYS_getpid, {}, 0 };
static const struct seccomp_call protect_exec = {
	AUDIT_ARCH_X86_64,
	SYS_mprotect,
	{ 0, 0, PROT_READ | PROT_EXEC },
	1 << 2,
};
static const struct seccomp_call protect_read = {
	AUDIT_ARCH_X86_64,
	SYS_mprotect,
	{ 0, 0, PROT_READ },
	1 << 2,
};

static enum seccomp_verdict judge_insns(const struct sock_filter *insns, size_t nr,
					const struct seccomp_call *call)
{
	uint16_t length = (uint16_t)nr;
	/* In memory of exactly its size, so that ASan sees the end. */
	struct sock_filter *copy = malloc(nr * sizeof(*copy));
	struct seccomp seccomp = { copy, &length, nr, 1 };
	enum seccomp_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, insns, nr * sizeof(*copy));
	verdict = seccomp_judge(&seccomp, call);
	free(copy);
	return verdict;
}

#define assert_verdict(insns, call, verdict)                                                       \
	assert_int_equal(judge_insns(insns, ARRAY_SIZE(insns), call), verdict)

/* --- actions ----------------------------------------------------------------------------------- */

static enum seccomp_verdict verdict_of(uint32_t action)
{
	const struct sock_filter insns[] = { RETURN(action) };

	return judge_insns(insns, 1, &getpid_call);
}

static void test_each_action_has_its_verdict(void **state)
{
	assert_int_equal(verdict_of(SECCOMP_RET_ALLOW), SECCOMP_PERMITTED);
	assert_int_equal(verdict_of(SECCOMP_RET_LOG), SECCOMP_PERMITTED);
	assert_int_equal(verdict_of(SECCOMP_RET_ERRNO | ENOSYS), SECCOMP_REFUSED);
	assert_int_equal(verdict_of(SECCOMP_RET_KILL_PROCESS), SECCOMP_FATAL);
	assert_int_equal(verdict_of(SECCOMP_RET_KILL_THREAD), SECCOMP_FATAL);
	assert_int_equal(verdict_of(SECCOMP_RET_TRAP), SECCOMP_FATAL);
	assert_int_equal(verdict_of(SECCOMP_RET_TRACE), SECCOMP_FATAL);
	assert_int_equal(verdict_of(SECCOMP_RET_USER_NOTIF), SECCOMP_FATAL);
	assert_int_equal(verdict_of(0x12340000), SECCOMP_FATAL);
}

/* What was not done is said to be: an address 0 that was mapped, a descriptor 0 that was opened. */
static void test_an_error_without_a_number_is_a_lie(void **state)
{
	assert_int_equal(verdict_of(SECCOMP_RET_ERRNO), SECCOMP_FATAL);
}

/* --- known words ------------------------------------------------------------------------------- */

static void test_an_allow_list(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(arch),
		JEQ(AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 4, 0), /* x32 */
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_mprotect, 1, 0),
		JEQ(SYS_mprotect, 1, 2),
		JEQ(SYS_getpid, 0, 1),
		RETURN(ALLOW),
		RETURN(REFUSE),
	};
	struct seccomp_call call = getpid_call;

	assert_verdict(insns, &getpid_call, SECCOMP_PERMITTED);
	assert_verdict(insns, &protect_exec, SECCOMP_PERMITTED);
	call.nr = SYS_openat;
	assert_verdict(insns, &call, SECCOMP_REFUSED);
	call.arch = AUDIT_ARCH_I386;
	assert_verdict(insns, &call, SECCOMP_FATAL);
}

static void test_one_call_that_kills(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(nr),
		JEQ(SYS_getpid, 0, 1),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(ALLOW),
	};

	assert_verdict(insns, &getpid_call, SECCOMP_FATAL);
	assert_verdict(insns, &protect_exec, SECCOMP_PERMITTED);
}

/* As libseccomp writes it: both halves of the argument. */
static void test_an_argument_decides(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(nr),
		JEQ(SYS_mprotect, 0, 7),
		LOAD_HIGH(args[2]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0),
		JEQ(0, 0, 4),
		LOAD(args[2]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_EXEC),
		JEQ(PROT_EXEC, 0, 1),
		RETURN(REFUSE),
		RETURN(ALLOW),
	};
	struct seccomp_call call = protect_read;

	assert_verdict(insns, &protect_exec, SECCOMP_REFUSED);
	assert_verdict(insns, &protect_read, SECCOMP_PERMITTED);
	call.known = 0;
	assert_verdict(insns, &call, SECCOMP_REFUSED);
}

static void test_both_halves_of_an_argument_are_there(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(args[4]),	       JEQ(0xffffffff, 0, 3), LOAD_HIGH(args[4]),
		JEQ(0xffffffff, 0, 1), RETURN(ALLOW),	      RETURN(REFUSE),
	};
	struct seccomp_call call = { AUDIT_ARCH_X86_64, SYS_mmap, { [4] = UINT64_MAX }, 1 << 4 };

	assert_verdict(insns, &call, SECCOMP_PERMITTED);
	call.args[4] = UINT32_MAX;
	assert_verdict(insns, &call, SECCOMP_REFUSED);
}

static void test_words_are_computed(void **state)
{
	const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 20),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), /* 60 */
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), /* 64 - 60 */
		BPF_STMT(BPF_ST, 15),
		BPF_STMT(BPF_LDX | BPF_MEM, 15),
		BPF_STMT(BPF_LD | BPF_IMM, 1),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0), /* 16 */
		BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 28), /* 15 */
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),	 /* 3 */
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 8),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		JEQ(11, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 0, 1),
		RETURN(ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS),
	};

	assert_verdict(insns, &getpid_call, SECCOMP_PERMITTED);
}

static void test_branches_at_their_limits(void **state)
{
	const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 5),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 5, 0, 6),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 6, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 4, 0, 4),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 5, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0xfffffffa, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 0x80000000, 1, 0),
		RETURN(ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS),
	};

	assert_verdict(insns, &getpid_call, SECCOMP_PERMITTED);
}

static void test_what_is_returned_may_be_computed(void **state)
{
	const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 0x7fff),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 16),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_filter unknown[] = { LOAD(args[0]), BPF_STMT(BPF_RET | BPF_A, 0) };

	assert_verdict(insns, &getpid_call, SECCOMP_PERMITTED);
	assert_verdict(unknown, &getpid_call, SECCOMP_FATAL);
}

/* --- unknown words ----------------------------------------------------------------------------- */

static void test_a_branch_on_what_is_not_known_goes_both_ways(void **state)
{
	const struct sock_filter address[] = { LOAD(args[0]), JEQ(0x1000, 0, 1), RETURN(REFUSE),
					       RETURN(ALLOW) };
	const struct sock_filter instruction[] = { LOAD(instruction_pointer), JEQ(0x1000, 1, 0),
						   RETURN(SECCOMP_RET_TRAP), RETURN(ALLOW) };
	const struct sock_filter register_x[] = {
		LOAD(args[1]),	BPF_STMT(BPF_MISC | BPF_TAX, 0),
		LOAD(nr),	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1),
		RETURN(REFUSE), RETURN(ALLOW)
	};

	assert_verdict(address, &getpid_call, SECCOMP_REFUSED);
	assert_verdict(instruction, &getpid_call, SECCOMP_FATAL);
	assert_verdict(register_x, &getpid_call, SECCOMP_REFUSED);
}

/* Who has looked at an address does not forget the number. */
static void test_what_both_ways_agree_on_stays_known(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(nr),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_IMM, 1),
		LOAD(args[0]),
		JEQ(0, 0, 1),
		BPF_STMT(BPF_LDX | BPF_IMM, 2),
		BPF_STMT(BPF_LD | BPF_MEM, 3),
		JEQ(SYS_getpid, 0, 3),
		BPF_STMT(BPF_MISC | BPF_TXA, 0),
		JEQ(1, 0, 2),
		RETURN(ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(REFUSE),
	};

	/* The other word differs: that may be refused; but never is it another call. */
	assert_verdict(insns, &getpid_call, SECCOMP_REFUSED);
}

static void test_nothing_is_known_of_a_word_that_was_not_stored(void **state)
{
	const struct sock_filter insns[] = { BPF_STMT(BPF_LD | BPF_MEM, 7), JEQ(0, 0, 1),
					     RETURN(ALLOW), RETURN(REFUSE) };

	assert_verdict(insns, &getpid_call, SECCOMP_REFUSED);
}

static void test_a_mask_of_nothing_makes_it_known(void **state)
{
	const struct sock_filter insns[] = {
		LOAD(args[0]), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0), JEQ(0, 0, 1),
		RETURN(ALLOW), RETURN(SECCOMP_RET_KILL_PROCESS),
	};

	assert_verdict(insns, &getpid_call, SECCOMP_PERMITTED);
}

static void test_who_divides_by_what_may_be_zero_is_killed(void **state)
{
	const struct sock_filter unknown[] = { LOAD(args[0]), BPF_STMT(BPF_MISC | BPF_TAX, 0),
					       BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
					       RETURN(ALLOW) };
	const struct sock_filter zero[] = { BPF_STMT(BPF_LDX | BPF_IMM, 0),
					    BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), RETURN(ALLOW) };

	assert_verdict(unknown, &getpid_call, SECCOMP_FATAL);
	assert_verdict(zero, &getpid_call, SECCOMP_FATAL);
}

/* 2^1364 ways through it. */
static void test_many_ways_take_no_longer_than_one(void **state)
{
	static struct sock_filter insns[BPF_MAXINSNS];
	size_t nr = 0;

	while (nr + 3 < BPF_MAXINSNS) {
		insns[nr++] = (struct sock_filter)LOAD(args[0]);
		insns[nr++] = (struct sock_filter)JEQ((uint32_t)nr, 0, 1);
		insns[nr++] = (struct sock_filter)BPF_STMT(BPF_ST, (uint32_t)nr % BPF_MEMWORDS);
	}
	insns[nr++] = (struct sock_filter)RETURN(REFUSE);
	assert_int_equal(judge_insns(insns, nr, &getpid_call), SECCOMP_REFUSED);
}

/* --- programs that are none -------------------------------------------------------------------- */

static void test_one_too_long_or_without_an_end(void **state)
{
	static struct sock_filter insns[BPF_MAXINSNS + 1];

	for (size_t i = 0; i < ARRAY_SIZE(insns); i++)
		insns[i] = (struct sock_filter)RETURN(ALLOW);
	assert_int_equal(judge_insns(insns, BPF_MAXINSNS, &getpid_call), SECCOMP_PERMITTED);
	assert_int_equal(judge_insns(insns, BPF_MAXINSNS + 1, &getpid_call), SECCOMP_FATAL);
	assert_int_equal(judge_insns(insns, 0, &getpid_call), SECCOMP_FATAL);
	insns[1] = (struct sock_filter)LOAD(nr);
	assert_int_equal(judge_insns(insns, 2, &getpid_call), SECCOMP_FATAL);
}

/* Whatever it is, it is not believed, even if it were not reached. */
static enum seccomp_verdict judge_with(struct sock_filter insn)
{
	const struct sock_filter insns[] = { RETURN(ALLOW), insn, RETURN(ALLOW) };

	return judge_insns(insns, ARRAY_SIZE(insns), &getpid_call);
}

#define assert_valid(code, k)                                                                      \
	assert_int_equal(judge_with((struct sock_filter)BPF_STMT(code, k)), SECCOMP_PERMITTED)
#define assert_invalid(code, k)                                                                    \
	assert_int_equal(judge_with((struct sock_filter)BPF_STMT(code, k)), SECCOMP_FATAL)

static void test_loads_from_nowhere(void **state)
{
	assert_valid(BPF_LD | BPF_W | BPF_ABS, 60);
	assert_invalid(BPF_LD | BPF_W | BPF_ABS, 64);
	assert_invalid(BPF_LD | BPF_W | BPF_ABS, 2);
	assert_invalid(BPF_LD | BPF_W | BPF_ABS, 0xfffffffc);
	assert_valid(BPF_LD | BPF_MEM, 15);
	assert_invalid(BPF_LD | BPF_MEM, 16);
	assert_invalid(BPF_LDX | BPF_MEM, 16);
	assert_invalid(BPF_ST, 16);
	assert_invalid(BPF_STX, 0xffffffff);
}

static void test_instructions_that_filters_do_not_have(void **state)
{
	assert_invalid(BPF_LD | BPF_H | BPF_ABS, 0);
	assert_invalid(BPF_LD | BPF_B | BPF_ABS, 0);
	assert_invalid(BPF_LD | BPF_W | BPF_IND, 0);
	assert_invalid(BPF_LDX | BPF_B | BPF_MSH, 0);
	assert_invalid(BPF_ALU | BPF_MOD | BPF_K, 3);
	assert_invalid(BPF_ALU | 0xf0, 3);
	assert_invalid(BPF_ALU | BPF_NEG | BPF_X, 3);
	assert_invalid(BPF_JMP | 0x50, 0);
	assert_invalid(BPF_RET | BPF_X, 0);
	assert_invalid(BPF_MISC | 0x40, 0);
	assert_invalid(0x100 | BPF_LD | BPF_IMM, 0);
	assert_invalid(0x8000 | BPF_RET, 0);
	assert_valid(BPF_ALU | BPF_DIV | BPF_K, 1);
	assert_invalid(BPF_ALU | BPF_DIV | BPF_K, 0);
	assert_valid(BPF_ALU | BPF_LSH | BPF_K, 31);
	assert_invalid(BPF_ALU | BPF_LSH | BPF_K, 32);
	assert_invalid(BPF_ALU | BPF_RSH | BPF_K, 32);
}

static void test_jumps_to_nowhere(void **state)
{
	assert_valid(BPF_JMP | BPF_JA, 0);
	assert_invalid(BPF_JMP | BPF_JA, 1);
	assert_invalid(BPF_JMP | BPF_JA, 0xffffffff);
	assert_invalid(BPF_JMP | BPF_JA | BPF_X, 0);
	assert_int_equal(judge_with((struct sock_filter)JEQ(0, 0, 1)), SECCOMP_FATAL);
	assert_int_equal(judge_with((struct sock_filter)JEQ(0, 1, 0)), SECCOMP_FATAL);
	assert_int_equal(judge_with((struct sock_filter)JEQ(0, 0, 0)), SECCOMP_PERMITTED);
}

/* --- several ----------------------------------------------------------------------------------- */

static void test_the_worst_of_all_filters_counts(void **state)
{
	struct sock_filter insns[] = {
		RETURN(ALLOW), /* one */
		LOAD(nr),
		JEQ(SYS_getpid, 0, 1), /* two */
		RETURN(REFUSE),
		RETURN(ALLOW),		 /* */
		RETURN(SECCOMP_RET_LOG), /* three */
	};
	uint16_t lengths[] = { 1, 4, 1 };
	struct seccomp seccomp = { insns, lengths, ARRAY_SIZE(insns), ARRAY_SIZE(lengths) };

	assert_int_equal(seccomp_judge(&seccomp, &getpid_call), SECCOMP_REFUSED);
	assert_int_equal(seccomp_judge(&seccomp, &protect_exec), SECCOMP_PERMITTED);
	insns[5] = (struct sock_filter)RETURN(SECCOMP_RET_TRAP);
	assert_int_equal(seccomp_judge(&seccomp, &getpid_call), SECCOMP_FATAL);
	insns[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
	assert_int_equal(seccomp_judge(&seccomp, &protect_exec), SECCOMP_FATAL);
}

static void test_filters_are_equal_when_all_of_them_are(void **state)
{
	struct sock_filter insns[] = { RETURN(ALLOW), RETURN(ALLOW), RETURN(REFUSE) };
	uint16_t one[] = { 1, 2 }, other[] = { 2, 1 };
	struct seccomp a = { insns, one, 3, 2 }, b = { insns, one, 3, 2 };

	assert_true(seccomp_is_equal(&a, &b));
	b.lengths = other;
	assert_false(seccomp_is_equal(&a, &b));
	b = (struct seccomp){ insns, one, 1, 1 };
	assert_false(seccomp_is_equal(&a, &b));
}

/* --- reading ----------------------------------------------------------------------------------- */

static const struct sock_filter first[] = { LOAD(nr), JEQ(SYS_getppid, 0, 1), RETURN(REFUSE),
					    RETURN(ALLOW) };
static const struct sock_filter second[] = { RETURN(ALLOW) };

static void install(const struct sock_filter *insns, size_t nr)
{
	struct sock_fprog program = { (unsigned short)nr, (struct sock_filter *)(uintptr_t)insns };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(1);
}

static void test_a_stopped_thread_shows_its_filters(void **state)
{
	struct thread thread = { .tid = fork(), .state = THREAD_STOPPED };
	struct seccomp_call call = { AUDIT_ARCH_X86_64, SYS_getppid, {}, 0 };
	struct seccomp seccomp = {};
	int status, r;

	if (thread.tid == 0) {
		install(first, ARRAY_SIZE(first));
		install(second, ARRAY_SIZE(second));
		(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
		(void)raise(SIGSTOP);
		_exit(2);
	}
	assert_int_equal(waitpid(thread.tid, &status, 0), thread.tid);
	assert_true(WIFSTOPPED(status));
	r = seccomp_read(&thread, &seccomp);
	kill(thread.tid, SIGKILL);
	waitpid(thread.tid, &status, 0);
	if (r == -EACCES || r == -EINVAL || r == -EIO) {
		print_message("the kernel does not show them to us: %s\n", strerror(-r));
		seccomp_deinit(&seccomp);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(seccomp.nr, 2);
	assert_int_equal(seccomp.nr_insns, ARRAY_SIZE(first) + ARRAY_SIZE(second));
	assert_int_equal(seccomp_judge(&seccomp, &call), SECCOMP_REFUSED);
	assert_int_equal(seccomp_judge(&seccomp, &protect_exec), SECCOMP_PERMITTED);
	assert_int_equal(seccomp_read(&thread, &seccomp), -ESRCH);
	seccomp_deinit(&seccomp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_action_has_its_verdict),
		cmocka_unit_test(test_an_error_without_a_number_is_a_lie),
		cmocka_unit_test(test_an_allow_list),
		cmocka_unit_test(test_one_call_that_kills),
		cmocka_unit_test(test_an_argument_decides),
		cmocka_unit_test(test_both_halves_of_an_argument_are_there),
		cmocka_unit_test(test_words_are_computed),
		cmocka_unit_test(test_branches_at_their_limits),
		cmocka_unit_test(test_what_is_returned_may_be_computed),
		cmocka_unit_test(test_a_branch_on_what_is_not_known_goes_both_ways),
		cmocka_unit_test(test_what_both_ways_agree_on_stays_known),
		cmocka_unit_test(test_nothing_is_known_of_a_word_that_was_not_stored),
		cmocka_unit_test(test_a_mask_of_nothing_makes_it_known),
		cmocka_unit_test(test_who_divides_by_what_may_be_zero_is_killed),
		cmocka_unit_test(test_many_ways_take_no_longer_than_one),
		cmocka_unit_test(test_one_too_long_or_without_an_end),
		cmocka_unit_test(test_loads_from_nowhere),
		cmocka_unit_test(test_instructions_that_filters_do_not_have),
		cmocka_unit_test(test_jumps_to_nowhere),
		cmocka_unit_test(test_the_worst_of_all_filters_counts),
		cmocka_unit_test(test_filters_are_equal_when_all_of_them_are),
		cmocka_unit_test(test_a_stopped_thread_shows_its_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
