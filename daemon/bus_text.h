/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_TEXT_H
#define DAEMON_BUS_TEXT_H

/** bus_text_init() - once, at the start: the locale that says which characters there are */
void bus_text_init(void);

/**
 * bus_text_clean() - make a string from a target or a patch file fit for a message and for JSON
 *
 * Bytes that are not UTF-8 and control characters become "\xHH", as in what upatchctl prints: a
 * D-Bus message may not hold the one, and nobody wants the other.
 *
 * @s: NULL counts as ""
 * Return: a new string, or NULL: no memory.
 */
char *bus_text_clean(const char *s);

/* The same for several lines: newlines and tabs stay. */
char *bus_text_clean_lines(const char *s);

#endif
