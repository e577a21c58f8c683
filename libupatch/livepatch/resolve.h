/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_RESOLVE_H
#define LIVEPATCH_RESOLVE_H

/* Finding the symbols that a payload refers to in its target. */

#include <stdint.h>

struct load_symbol;
struct object;
struct payload_symbol;
struct session;

/**
 * resolve_extern() - as the dynamic linker would
 *
 * In the order of its list: the executable, then what was loaded; a symbol version is honoured.
 * Then among the object's own global symbols that are not exported. The agent's functions come before
 * all: @ret says so, and has no value yet.
 *
 * Return: 0; a weak symbol that is nowhere is 0; or -errno raised with UPATCH_E_UNRESOLVED.
 */
int resolve_extern(struct session *session, struct object *object,
		   const struct payload_symbol *symbol, struct load_symbol *ret);

/* A private symbol of the object. Return: 0, or -errno raised. */
int resolve_private(struct session *session, struct object *object,
		    const struct payload_symbol *symbol, struct load_symbol *ret);

#endif
