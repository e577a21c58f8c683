/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_LIVEPATCH_H
#define UPATCH_LIVEPATCH_H

/*
 * What the author of a patch includes. A source file holds the replacements for one object:
 *
 *	#include <upatch/livepatch.h>
 *
 *	UPATCH_OBJECT("redis-server");
 *
 *	static void new_ping(client *c)
 *	{
 *		addReplyBulkCString(c, "patched");
 *	}
 *	UPATCH_FUNC(pingCommand, new_ping);
 *
 * A replacement may call and use whatever the object itself could: exported functions and
 * variables of all loaded objects by their plain declarations, and private ones of the object,
 * static or hidden, when they are declared with UPATCH_PRIVATE(). It may add functions, static and
 * global data, but neither thread-local variables nor constructors.
 *
 * Several files may be built into one payload (the same object) or one patch (several objects).
 */

#define UPATCH_STRING_(s) #s
#define UPATCH_STRING(s) UPATCH_STRING_(s)
#define UPATCH_JOIN_(a, b) a##b
#define UPATCH_JOIN(a, b) UPATCH_JOIN_(a, b)

/* One entry of section .upatch.funcs. The builder fills in the last two. */
struct upatch_func_entry {
	const char *name;
	const void *replacement;
	unsigned long sympos;
	unsigned long old_value; /* link-time address of the original, 0: not known */
	unsigned long old_size;
};

/**
 * UPATCH_OBJECT() - which object this file is for
 * @name: file name of the executable or library, its soname, or its path
 * Once in each file.
 */
#define UPATCH_OBJECT(name)                                                                        \
	static const char upatch_object[]                                                          \
		__attribute__((used, section(".upatch.object"), aligned(1))) = name

/**
 * UPATCH_FUNC_NAMED() - replace a function whose name is no C identifier
 * @old_name:	 string: a mangled C++ name, "parse.isra.0"
 * @position:	 0 when the name is unique in the object, else which of its symbols of that name,
 *		 from 1, in the order of the symbol table (klp's old_sympos)
 * @replacement: a function of this file, of the same type as the original
 */
#define UPATCH_FUNC_NAMED(old_name, position, replacement)                                         \
	static struct upatch_func_entry UPATCH_JOIN(upatch_func_, __COUNTER__)                     \
		__attribute__((used, section(".upatch.funcs"), aligned(8))) = {                    \
			old_name, (const void *)(replacement), position, 0, 0                      \
		}

/** UPATCH_FUNC() - replace the only function of that name */
#define UPATCH_FUNC(old_name, replacement) UPATCH_FUNC_NAMED(#old_name, 0, replacement)

/** UPATCH_FUNC_POS() - replace the n-th function of that name */
#define UPATCH_FUNC_POS(old_name, position, replacement)                                           \
	UPATCH_FUNC_NAMED(#old_name, position, replacement)

/* What a callback is told. */
struct upatch_callback {
	const char *object; /* as UPATCH_OBJECT() names it */
	int state;	    /* enum upatch_object_state */
};

enum upatch_object_state {
	UPATCH_OBJECT_LIVE = 0, /* loaded before, and staying */
	UPATCH_OBJECT_COMING = 1,
	UPATCH_OBJECT_GOING = 2,
};

enum upatch_callback_kind {
	UPATCH_KIND_PRE_PATCH = 1,
	UPATCH_KIND_POST_PATCH = 2,
	UPATCH_KIND_PRE_UNPATCH = 3,
	UPATCH_KIND_POST_UNPATCH = 4,
};

/* One entry of section .upatch.callbacks. */
struct upatch_callback_entry {
	unsigned long kind;
	const void *fn;
};

/* A declaration that fits one type alone. */
#define UPATCH_CALLBACK_(kind, type, fn)                                                           \
	static __attribute__((unused)) type (*const UPATCH_JOIN(                                   \
		upatch_callback_type_, __COUNTER__))(const struct upatch_callback *) = (fn);       \
	static struct upatch_callback_entry UPATCH_JOIN(upatch_callback_, __COUNTER__)             \
		__attribute__((used, section(".upatch.callbacks"),                                 \
			       aligned(8))) = { kind, (const void *)(fn) }

/*
 * Functions that run in the target when the patch is enabled or disabled, at most one of each kind
 * for each object. A thread of the target runs them, mostly the main one, which was taken out of a system
 * call for it, while all others go on: upatch(7), "CALLBACKS", says what they may do.
 *
 *	static int prepare(const struct upatch_callback *cb)
 *	{
 *		return table_is_valid() ? 0 : -EINVAL;
 *	}
 *	UPATCH_PRE_PATCH(prepare);
 */

/** UPATCH_PRE_PATCH() - before the object is patched; other than 0 cancels the patch */
#define UPATCH_PRE_PATCH(fn) UPATCH_CALLBACK_(UPATCH_KIND_PRE_PATCH, int, fn)
/** UPATCH_POST_PATCH() - every thread runs the new version */
#define UPATCH_POST_PATCH(fn) UPATCH_CALLBACK_(UPATCH_KIND_POST_PATCH, void, fn)
/** UPATCH_PRE_UNPATCH() - before the patch is disabled */
#define UPATCH_PRE_UNPATCH(fn) UPATCH_CALLBACK_(UPATCH_KIND_PRE_UNPATCH, void, fn)
/** UPATCH_POST_UNPATCH() - no thread runs the new version; if pre-patch succeeded, or is absent */
#define UPATCH_POST_UNPATCH(fn) UPATCH_CALLBACK_(UPATCH_KIND_POST_UNPATCH, void, fn)

/**
 * UPATCH_PRIVATE() - bind a declaration to a private symbol of the object
 * @name: its name, a string
 * @position: as for UPATCH_FUNC_NAMED(), a literal number
 *
 *	extern int hits UPATCH_PRIVATE("hits", 0);
 *	extern int parse(const char *) UPATCH_PRIVATE("parse", 2);
 */
#define UPATCH_PRIVATE(name, position) __asm__(".upatch.sym." UPATCH_STRING(position) "." name)

/**
 * UPATCH_ORIGINAL() - bind a declaration to the old code of a function that this file replaces
 * @name, @position: as given to UPATCH_FUNC_NAMED()
 *
 *	extern int old_add(int, int) UPATCH_ORIGINAL("add", 0);
 */
#define UPATCH_ORIGINAL(name, position) __asm__(".upatch.orig." UPATCH_STRING(position) "." name)

/* --- shadow variables -------------------------------------------------------------------------- */

/*
 * Data attached to objects of the target: (address, ID) -> memory, as klp's. They belong to no patch
 * and outlive the one that made them; the last patch to know an ID frees what is left of it, or leaves it
 * to the next. While there are any, the code behind these calls stays in the target.
 *
 * Any thread may call them at any time, also in signal handlers and in programs without C library;
 * the memory comes from mmap(2). Those that change something block signals for their time and
 * need mmap(2), munmap(2), futex(2), rt_sigprocmask(2) and gettid(2), which a seccomp filter must
 * permit. A child forked by fork(2) has a copy of its own.
 */

#ifdef __cplusplus
extern "C" {
#endif

/**
 * upatch_shadow_ctor - fill in a new variable
 * Runs under the lock, on zeroed memory, and only if the variable will really be inserted. It may
 * call upatch_shadow_get(); all others refuse. Return: 0, or else there will be no variable.
 */
typedef int (*upatch_shadow_ctor)(void *obj, void *data, void *ctor_data);

/** upatch_shadow_dtor - runs under the lock, as the constructor, when nobody finds @data any more */
typedef void (*upatch_shadow_dtor)(void *obj, void *data);

/**
 * upatch_shadow_get() - look a variable up
 * Takes no lock. That nobody frees the variable while the caller uses it is up to the caller.
 * Return: its memory, aligned to 16 bytes; NULL when there is none.
 */
void *upatch_shadow_get(void *obj, unsigned long id);

/**
 * upatch_shadow_alloc() - add a variable that is not there
 * @obj:       address that it goes with; need not be one
 * @id:	       what it is, agreed upon among patches
 * @size:      in bytes; the memory is zeroed
 * @ctor:      or NULL
 * @ctor_data: passed to @ctor
 *
 * Return: its memory; NULL when it exists, when @ctor refused, without memory, and within a
 * constructor or destructor.
 */
void *upatch_shadow_alloc(void *obj, unsigned long id, __SIZE_TYPE__ size, upatch_shadow_ctor ctor,
			  void *ctor_data);

/**
 * upatch_shadow_get_or_alloc() - find a variable or else add it
 * Return: memory of the one that is there or of the new one; NULL as upatch_shadow_alloc().
 */
void *upatch_shadow_get_or_alloc(void *obj, unsigned long id, __SIZE_TYPE__ size,
				 upatch_shadow_ctor ctor, void *ctor_data);

/**
 * upatch_shadow_free() - remove a variable, if it is there
 * @dtor: called for it, or NULL
 */
void upatch_shadow_free(void *obj, unsigned long id, upatch_shadow_dtor dtor);

/** upatch_shadow_free_all() - remove all variables of that ID, in no particular order */
void upatch_shadow_free_all(unsigned long id, upatch_shadow_dtor dtor);

/* --- system states ------------------------------------------------------------------------------ */

/*
 * What a patch changes that outlives its functions. A patch with an older version of a state than an
 * enabled one is refused, and so is one that supersedes (replace) an enabled patch without having its
 * states.
 */

/**
 * struct upatch_state - a state, in the payload that declares it
 * @id:	     not 0, agreed upon among patches
 * @version: what changes when patches of the older version can no longer handle it
 * @data:    for the patch to use
 */
struct upatch_state {
	unsigned long id;
	unsigned int version;
	void *data;
};

/** UPATCH_STATE() - declare that this patch has a state */
#define UPATCH_STATE(id, version)                                                                  \
	static struct upatch_state UPATCH_JOIN(upatch_state_, __COUNTER__)                         \
		__attribute__((used, section(".upatch.states"), aligned(8))) = { id, version, 0 }

/* For the two below. @in_payload: any address in the calling payload. */
struct upatch_state *upatch_state_get_at(const void *in_payload, unsigned long id);
struct upatch_state *upatch_state_get_prev_at(const void *in_payload, unsigned long id);

/**
 * upatch_state_get() - the calling patch's own state
 * Return: the state, good as long as the patch is; NULL when the patch declares none of that ID.
 */
static inline struct upatch_state *upatch_state_get(unsigned long id)
{
	static const char here = 0;

	/* Not by return address: a tail call has none of the caller's. */
	return upatch_state_get_at(&here, id);
}

/**
 * upatch_state_get_prev() - the state as an earlier patch has it
 * Only while a transition is open, in pre-patch callbacks, and in the post-patch callbacks of a patch that
 * superseded others. Return: the state of the latest patch before the one in transition that has it, good
 * until the transition, or the callback, is over; else NULL.
 */
static inline struct upatch_state *upatch_state_get_prev(unsigned long id)
{
	static const char here = 0;

	return upatch_state_get_prev_at(&here, id);
}

#ifdef __cplusplus
}
#endif

#endif
