/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that reads /proc/meter as fast as it can, in two threads, and checks each value. On each line of
 * its standard input it says: how many values it has read, how many of them in the new format, how many
 * were wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct value {
	int count;
	int sum;
	int is_new; /* in the new format */
};

static long nr_read, nr_new, nr_wrong;

int parse_meter(const char *text, struct value *ret);

/* Only the old format; the patch knows both. */
__attribute__((noipa, used)) int parse_meter(const char *text, struct value *ret)
{
	ret->is_new = 0;
	return sscanf(text, "%d %d", &ret->count, &ret->sum) == 2 ? 0 : -1;
}

static void read_once(void)
{
	struct value value = {};
	char text[128] = "";
	int fd = open("/proc/meter", O_RDONLY | O_CLOEXEC);
	int is_wrong = fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ||
		       parse_meter(text, &value) < 0 || value.sum != value.count * 7;

	close(fd);
	__atomic_fetch_add(&nr_read, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nr_new, value.is_new, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nr_wrong, is_wrong, __ATOMIC_RELAXED);
}

static void *reader(void *arg)
{
	for (;;)
		read_once();
	return arg;
}

int main(void)
{
	pthread_t threads[2];
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, reader, NULL) != 0)
			return 1;
	while (fgets(line, sizeof(line), stdin))
		printf("read %ld new %ld wrong %ld\n", nr_read, nr_new, nr_wrong);
	return 0;
}
