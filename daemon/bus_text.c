/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Length in bytes of the printable character at @s, 0 when there is none. */
static size_t character_length(const char *s)
{
	mbstate_t state = {};
	wchar_t c;
	size_t length = mbrtowc(&c, s, strlen(s), &state);

	if (length == (size_t)-1 || length == (size_t)-2 || c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 0;
	return length;
}

void bus_text_init(void)
{
	/* Without it all that is not ASCII is shown in hexadecimal. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
}

static char *clean(const char *s, const char *also_fine)
{
	char *text = malloc(4 * strlen(s ?: "") + 1);
	char *to = text;

	for (s = s ?: ""; text && *s;) {
		size_t length = character_length(s);

		if (!length && strchr(also_fine, *s))
			length = 1;
		if (length > 0)
			to = mempcpy(to, s, length);
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*s);
		s += length ?: 1;
	}
	if (text)
		*to = 0;
	return text;
}

char *bus_text_clean(const char *s)
{
	return clean(s, "");
}

char *bus_text_clean_lines(const char *s)
{
	return clean(s, "\n\t");
}
