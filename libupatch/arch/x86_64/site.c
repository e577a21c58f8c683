/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/x86_64.h"
#include "base/array.h"

struct pattern {
	const char *bytes;
	size_t size;
};

#define PATTERN(s)                                                                                 \
	{                                                                                          \
		(s), sizeof(s) - 1                                                                 \
	}

static const struct pattern syscall_ret[] = {
	PATTERN("\x0f\x05\xc3"), /* syscall; ret */
};

static const struct pattern sigreturn[] = {
	PATTERN("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"), /* mov $15,%rax; syscall */
	PATTERN("\xb8\x0f\x00\x00\x00\x0f\x05"),	 /* mov $15,%eax; syscall */
};

/* What follows the call of the start routine: exit(2) with what it returned. */
static const struct pattern thread_root[] = {
	PATTERN("\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05"),	 /* mov %eax,%edi; mov $60,%eax */
	PATTERN("\x48\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05"),	 /* mov %rax,%rdi; mov $60,%eax */
	PATTERN("\x89\xc7\x48\xc7\xc0\x3c\x00\x00\x00\x0f\x05"), /* ...; mov $60,%rax */
	PATTERN("\x89\xc7\x31\xc0\xb0\x3c\x0f\x05"),		 /* ...; xor; mov $60,%al */
	PATTERN("\x89\xc7\x6a\x3c\x58\x0f\x05"),		 /* ...; push $60; pop %rax */
};

static int64_t find_any(const struct pattern *patterns, size_t nr, const uint8_t *bytes,
			size_t size)
{
	int64_t first = -ENOENT;

	for (size_t i = 0; i < nr; i++) {
		const uint8_t *found = memmem(bytes, size, patterns[i].bytes, patterns[i].size);

		if (found && (first < 0 || found - bytes < first))
			first = found - bytes;
	}
	return first;
}

int64_t x86_64_site_find(enum arch_site site, const uint8_t *bytes, size_t size)
{
	switch (site) {
	case ARCH_SITE_SYSCALL_RET:
		return find_any(syscall_ret, ARRAY_SIZE(syscall_ret), bytes, size);
	case ARCH_SITE_SIGRETURN:
		return find_any(sigreturn, ARRAY_SIZE(sigreturn), bytes, size);
	}
	return -EINVAL;
}

bool x86_64_is_thread_root(const uint8_t *after, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(thread_root); i++)
		if (size >= thread_root[i].size &&
		    memcmp(after, thread_root[i].bytes, thread_root[i].size) == 0)
			return true;
	return false;
}
