/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/agent.h"

/*
 * A thread's own instructions raise these: blocked, they would kill it instead of reaching its
 * handler. A constructor is the target's code and may rely on one.
 */
enum {
	SIGNAL_ILL = 4,
	SIGNAL_TRAP = 5,
	SIGNAL_BUS = 7,
	SIGNAL_FPE = 8,
	SIGNAL_SEGV = 11,
	SIGNAL_SYS = 31,
};

/* In .bss, but in pages of its own: agent.lds. */
struct upatch_agent_fork agent_fork __attribute__((section(".bss.upatch_fork")));

/* Somebody is changing something; survives fork(2), unlike the lock. */
static uint32_t is_changing;

static uint64_t bit(unsigned int signal)
{
	return 1ull << (signal - 1);
}

static void block_signals(uint64_t *ret_old)
{
	const uint64_t set = ~(bit(SIGNAL_ILL) | bit(SIGNAL_TRAP) | bit(SIGNAL_BUS) |
			       bit(SIGNAL_FPE) | bit(SIGNAL_SEGV) | bit(SIGNAL_SYS));

	*ret_old = 0;
	(void)sys_rt_sigprocmask(SYS_SIG_BLOCK, &set, ret_old, sizeof(set)); /* cannot fail */
}

static void restore_signals(uint64_t signals)
{
	(void)sys_rt_sigprocmask(SYS_SIG_SETMASK, &signals, NULL, sizeof(signals)); /* likewise */
}

static enum agent_lock_outcome take(uint32_t tid)
{
	uint32_t was_changing;

	__atomic_store_n(&agent_fork.owner, tid, __ATOMIC_RELAXED);
	was_changing = __atomic_exchange_n(&is_changing, 1, __ATOMIC_SEQ_CST);
	return was_changing ? AGENT_LOCK_INHERITED : AGENT_LOCK_TAKEN;
}

static uint32_t exchange_if_free(uint32_t value)
{
	uint32_t expected = 0;

	(void)__atomic_compare_exchange_n(&agent_fork.lock, &expected, value, 0, __ATOMIC_SEQ_CST,
					  __ATOMIC_SEQ_CST); /* expected tells */
	return expected;
}

enum agent_lock_outcome agent_lock(uint64_t *ret_signals)
{
	uint32_t tid = (uint32_t)sys_gettid();

	block_signals(ret_signals);
	/* Others may come and go, but only we write our own TID. */
	if (__atomic_load_n(&agent_fork.owner, __ATOMIC_RELAXED) == tid) {
		restore_signals(*ret_signals);
		return AGENT_LOCK_FAILED;
	}
	if (exchange_if_free(1) != 0)
		while (__atomic_exchange_n(&agent_fork.lock, 2, __ATOMIC_SEQ_CST) != 0)
			(void)sys_futex(&agent_fork.lock, SYS_FUTEX_WAIT_PRIVATE, 2,
					NULL); /* looks again in any case */
	return take(tid);
}

enum agent_lock_outcome agent_trylock(uint64_t *ret_signals)
{
	block_signals(ret_signals);
	if (exchange_if_free(1) == 0)
		return take((uint32_t)sys_gettid());
	restore_signals(*ret_signals);
	return AGENT_LOCK_FAILED;
}

void agent_unlock(uint64_t signals)
{
	__atomic_store_n(&is_changing, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&agent_fork.owner, 0, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&agent_fork.lock, 0, __ATOMIC_SEQ_CST) == 2)
		(void)sys_futex(&agent_fork.lock, SYS_FUTEX_WAKE_PRIVATE, 1,
				NULL); /* nobody may be waiting any more */
	restore_signals(signals);
}
