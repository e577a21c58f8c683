/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

/* Growing arrays and a few macros over plain ones. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument is evaluated once: it may be a call that changes something, or a look at the clock. */
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) min_a_ = (a);                                                            \
		typeof(b) min_b_ = (b);                                                            \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) max_a_ = (a);                                                            \
		typeof(b) max_b_ = (b);                                                            \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

/* @align is a power of two. */
#define ALIGN_UP(x, align) (((x) + ((typeof(x))(align)-1)) & ~((typeof(x))(align)-1))
#define ALIGN_DOWN(x, align) ((x) & ~((typeof(x))(align)-1))

/*
 * array_grow(ptr, nr, alloc) - make room for element number @nr
 *
 * @ptr and @alloc are lvalues; on success ptr[nr] exists and is zeroed. False when memory ran out,
 * with everything as it was.
 */
#define array_grow(ptr, nr, alloc) array_grow_((void **)&(ptr), (nr), &(alloc), sizeof(*(ptr)))

static inline bool array_grow_(void **ptr, size_t nr, size_t *alloc, size_t size)
{
	size_t want, i;
	char *p;

	if (nr >= *alloc) {
		want = *alloc ? *alloc * 2 : 8;
		if (want <= nr)
			want = nr + 1;
		p = reallocarray(*ptr, want, size);
		if (!p)
			return false;
		*ptr = p;
		*alloc = want;
	}
	p = (char *)*ptr + nr * size;
	for (i = 0; i < size; i++)
		p[i] = 0;
	return true;
}

#endif
