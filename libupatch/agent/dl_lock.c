/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/dl_lock.h"

#include "agent/agent.h"

/* Whoever waits looks again now and then: the host does not wake anybody. */
static const struct sys_timespec patience = { .nsec = 50000000 };

void dl_lock(void)
{
	uint32_t tid = (uint32_t)sys_gettid(), expected = 0;

	/* Only we write our own TID. */
	if (__atomic_load_n(&agent_fork.dl_owner, __ATOMIC_RELAXED) == tid) {
		agent_fork.dl_depth++;
		return;
	}
	if (!__atomic_compare_exchange_n(&agent_fork.dl_lock, &expected, 1, 0, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		while (__atomic_exchange_n(&agent_fork.dl_lock, 2, __ATOMIC_SEQ_CST) != 0)
			(void)sys_futex(&agent_fork.dl_lock, SYS_FUTEX_WAIT_PRIVATE, 2,
					&patience); /* looks again in any case */
	agent_fork.dl_depth = 1;
	__atomic_store_n(&agent_fork.dl_owner, tid, __ATOMIC_RELAXED);
}

void dl_unlock(void)
{
	if (--agent_fork.dl_depth)
		return;
	__atomic_store_n(&agent_fork.dl_owner, 0, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&agent_fork.dl_lock, 0, __ATOMIC_SEQ_CST) == 2)
		(void)sys_futex(&agent_fork.dl_lock, SYS_FUTEX_WAKE_PRIVATE, 1,
				NULL); /* nobody may be waiting any more */
}
