/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_TEXT_H
#define UPATCHCTL_TEXT_H

/**
 * text_clean() - make a string from a target or a patch file fit for JSON and for a terminal
 *
 * Bytes that are not UTF-8 and control characters become "\xHH": they could otherwise make the
 * JSON invalid, make a terminal do things, or look like lines of our own.
 *
 * Return: a new string.
 */
char *text_clean(const char *s);

/** text_clean_lines() - the same for text of several lines, which keeps newlines and tabs */
char *text_clean_lines(const char *s);

#endif
