/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "number.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int number_pid(const char *text, size_t length, pid_t *ret)
{
	int64_t pid = 0;

	for (size_t i = 0; i < length; i++) {
		if (!is_digit(text[i]))
			return -EINVAL;
		pid = pid * 10 + (text[i] - '0');
		if (pid > INT_MAX)
			return -EINVAL;
	}
	if (pid == 0)
		return -EINVAL;
	*ret = (pid_t)pid;
	return 0;
}

int number_seconds(const char *text, unsigned int *ret_ms)
{
	uint64_t ms = 0, weight = 1000;
	unsigned int nr_digits = 0;

	for (; is_digit(*text); text++, nr_digits++) {
		ms = ms * 10 + (uint64_t)(*text - '0') * 1000;
		if (ms > UINT_MAX)
			return -EINVAL;
	}
	if (*text == '.')
		text++;
	for (; is_digit(*text); text++, nr_digits++) {
		weight /= 10; /* 0 beyond the third digit */
		ms += (uint64_t)(*text - '0') * weight;
	}
	if (*text || nr_digits == 0 || ms > UINT_MAX)
		return -EINVAL;
	*ret_ms = (unsigned int)ms;
	return 0;
}
