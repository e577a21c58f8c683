/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap); /* there is nowhere else to say it */
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(1);
}

void bench_init(struct bench *bench, const char *victims)
{
	*bench = (struct bench){ .victims = victims, .dir = "/tmp/upatch-bench.XXXXXX" };
	if (!mkdtemp(bench->dir))
		bench_die("cannot make a folder in /tmp");
}

void bench_deinit(struct bench *bench)
{
	DIR *dir = opendir(bench->dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0); /* what remains is in /tmp */
	if (dir)
		(void)closedir(dir);
	(void)rmdir(bench->dir);
}
