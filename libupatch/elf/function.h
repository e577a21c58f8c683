/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_FUNCTION_H
#define ELF_FUNCTION_H

/*
 * The code that a function consists of: its body, and the parts that the compiler split off into
 * ranges of their own (.cold, .part).
 */

#include <stddef.h>
#include <stdint.h>

struct diag;
struct image;
struct symbol;

struct function_piece {
	uint64_t vaddr;
	uint64_t size;
	const uint8_t *bytes; /* in the image */
};

/*
 * @pieces: [0] is the body
 * @padding: bytes right behind the body that no other function claims, bounded; they follow the
 *	     body's bytes
 */
struct function {
	struct function_piece *pieces;
	size_t nr;
	size_t padding;
};

/*
 * Tells @fn of each direct branch of some code that leaves it. The CPU's business: struct arch_ops has
 * one. Return: 0, or the first non-zero value of @fn, or -ENOMEM.
 */
typedef int (*function_branches_fn)(uint64_t addr, const uint8_t *bytes, size_t size,
				    int (*fn)(uint64_t to, void *userdata), void *userdata);

/**
 * function_find() - pieces of a function
 * @symbol: name, value and size of it
 * @branches: for files without local symbols, where no name tells which pieces belong together: all
 *	      code that the function branches to, and that is no function with a name, counts. That
 *	      may be a static function that it tail-calls: too much is safe.
 *
 * Return: 0, or -errno raised with UPATCH_E_FUNCTION_SIZE when it is not in the file's code.
 */
int function_find(struct diag *d, struct image *image, const struct symbol *symbol,
		  function_branches_fn branches, struct function *ret);
void function_deinit(struct function *function);

#endif
