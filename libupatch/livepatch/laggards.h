/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_LAGGARDS_H
#define LIVEPATCH_LAGGARDS_H

/*
 * Which threads have not switched: the table in the target that counts, and our copy of it.
 *
 * There are two. The one that counts only ever loses keys, one aligned store each; the other one is
 * filled when a transition starts or is turned around, and then made to count by one store.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/abi.h>

struct session;
struct thread;

struct laggard {
	uint64_t key; /* thread pointer */
	pid_t tid;    /* 0: several threads have that key */
};

struct laggards {
	struct upatch_laggards *table; /* our copy; NULL: no transition has started */
	int index;		       /* of the two, or -1 */
};

/**
 * laggards_read() - the table that counts, if any
 * Return: 0, or -errno raised: UPATCH_E_RECORD_CORRUPT, UPATCH_E_GONE.
 */
int laggards_read(struct session *session, struct laggards *ret);
void laggards_deinit(struct laggards *laggards);

/* What the dispatchers know a stopped thread by. */
uint64_t laggards_key(const struct session *session, const struct thread *thread);

bool laggards_has(const struct laggards *laggards, uint64_t key);

/* Those that are left. Return: 0 with a malloc'ed array, or -ENOMEM raised. */
int laggards_list(const struct session *session, const struct laggards *laggards,
		  struct laggard **ret, size_t *ret_nr);

/**
 * laggards_replace() - make another table count, which lists these
 * @invert: as in struct upatch_laggards
 *
 * Everybody is stopped, and nobody is in a dispatcher. Return: 0; LAGGARDS_TOO_MANY, with nothing
 * stored; or -errno raised, with the old table counting.
 */
int laggards_replace(struct session *session, struct laggards *laggards, pid_t tracee,
		     const struct laggard *list, size_t nr, uint64_t invert);

enum {
	LAGGARDS_TOO_MANY = 1,
};

/* The thread of that key is stopped and switches. Return: 0, or -errno raised. */
int laggards_drop(struct session *session, struct laggards *laggards, pid_t tracee, uint64_t key);

/* No table counts any more: every thread runs the old version. Return: 0, or -errno raised. */
int laggards_forget(struct session *session, struct laggards *laggards, pid_t tracee);

#endif
