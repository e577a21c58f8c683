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

#endif
