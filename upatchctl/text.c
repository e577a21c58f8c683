/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

/* Length in bytes of the well-formed, printable UTF-8 character at @s; 0 when there is none. */
static size_t character_length(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (length == 1)
		return *s >= 0x20 && *s != 0x7f;
	if (*s < 0xc2 || *s > 0xf4)
		return 0;
	c = *s & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) { /* ends at the terminating 0, too */
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) || c < 0xa0)
		return 0;
	return length;
}

static char *clean(const char *s, const char *also_fine)
{
	char *text = must(malloc(4 * strlen(s) + 1));
	char *to = text;

	while (*s) {
		size_t length = character_length((const unsigned char *)s);

		if (!length && strchr(also_fine, *s))
			length = 1;
		if (length) {
			memcpy(to, s, length);
			to += length;
			s += length;
		} else {
			to += sprintf(to, "\\x%02x", (unsigned char)*s++);
		}
	}
	*to = 0;
	return text;
}

char *text_clean(const char *s)
{
	return clean(s, "");
}

char *text_clean_lines(const char *s)
{
	return clean(s, "\n\t");
}
