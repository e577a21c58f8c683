/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target over a corpus without libFuzzer: each input as it is, and then mutations of
 * it, which depend on its bytes and their number only, so that a failure can be repeated.
 *
 *	fuzz_x [--only N] MUTATIONS PATH...
 *
 * A PATH is a file or a folder of files; what ends in .hex is text: hex digits, white space and
 * comments from # to the end of the line. One TAP line for each file; --only N runs the N-th
 * mutation (0: the input itself) in this very process, for a debugger.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum {
	INPUT_MAX = 1 << 20,
	MUTATION_ROOM = 256, /* a mutation is at most this much longer than its input */
	STEPS_MAX = 6,
	/* An input on which nothing ends is a failure, too. */
	SECONDS_PER_FILE = 120,
};

struct input {
	uint8_t *bytes;
	size_t size;
	uint64_t hash;
};

struct run {
	unsigned long mutations;
	unsigned int nr_files;
	unsigned int nr_failed;
	unsigned long *at; /* shared with the child: the mutation that runs now */
};

/* --- mutations ----------------------------------------------------------------------------- */

/* xorshift64*, Vigna 2016: any state but 0. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t interesting_number(uint64_t *state)
{
	static const uint64_t numbers[] = {
		0,
		1,
		0x7f,
		0x80,
		0xff,
		0x7fff,
		0x8000,
		0xffff,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		UINT64_MAX,
		0xfffffff0,
		0x7fffffffffffffff,
		0x8000000000000000,
	};

	return numbers[next_random(state) % ARRAY_SIZE(numbers)];
}

static void overwrite_number(uint8_t *bytes, size_t size, uint64_t *state)
{
	size_t width = (size_t)1 << next_random(state) % 4;
	uint64_t number = interesting_number(state);

	if (width > size)
		return;
	/* Fields of headers are aligned: aim at them most of the time. */
	size_t at = next_random(state) % (size - width + 1);

	if (next_random(state) % 4)
		at = ALIGN_DOWN(at, width);
	memcpy(bytes + at, &number, width);
}

static size_t insert_or_erase(uint8_t *bytes, size_t size, size_t room, uint64_t *state)
{
	size_t at = next_random(state) % (size + 1), count = 1 + next_random(state) % 16;

	if (next_random(state) % 2) {
		if (size + count > room)
			return size;
		memmove(bytes + at + count, bytes + at, size - at);
		memset(bytes + at, (int)next_random(state), count);
		return size + count;
	}
	count = MIN(count, size - at);
	memmove(bytes + at, bytes + at + count, size - at - count);
	return size - count;
}

static void copy_within(uint8_t *bytes, size_t size, uint64_t *state)
{
	size_t from = next_random(state) % size, to = next_random(state) % size;
	size_t count = 1 + next_random(state) % 32;

	count = MIN(count, size - MAX(from, to));
	memmove(bytes + to, bytes + from, count);
}

/* Return: the new size. */
static size_t mutate_once(uint8_t *bytes, size_t size, size_t room, uint64_t *state)
{
	if (!size)
		return insert_or_erase(bytes, size, room, state);
	switch (next_random(state) % 8) {
	case 0:
	case 1:
		bytes[next_random(state) % size] ^= (uint8_t)(1 << next_random(state) % 8);
		break;
	case 2:
		bytes[next_random(state) % size] = (uint8_t)next_random(state);
		break;
	case 3:
	case 4:
		overwrite_number(bytes, size, state);
		break;
	case 5:
		copy_within(bytes, size, state);
		break;
	case 6:
		return insert_or_erase(bytes, size, room, state);
	default:
		return next_random(state) % (size + 1);
	}
	return size;
}

/* Number 0 is the input itself. In a buffer of exactly its size, so that ASan sees the end. */
static void run_mutation(const struct input *input, unsigned long number)
{
	size_t room = input->size + MUTATION_ROOM, size = input->size;
	_cleanup_free_ uint8_t *bytes = malloc(room);
	_cleanup_free_ uint8_t *exact = NULL;
	uint64_t state = (input->hash ^ (number * 0x9e3779b97f4a7c15ull)) | 1;

	if (!bytes)
		abort();
	memcpy(bytes, input->bytes, size);
	if (number)
		for (uint64_t steps = 1 + next_random(&state) % STEPS_MAX; steps; steps--)
			size = mutate_once(bytes, size, room, &state);
	exact = malloc(size ? size : 1);
	if (!exact)
		abort();
	memcpy(exact, bytes, size);
	(void)LLVMFuzzerTestOneInput(exact, size); /* always 0 */
}

/* --- inputs ---------------------------------------------------------------------------------- */

static int hex_value(int c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* In place. Return: the number of bytes. */
static size_t decode_hex(uint8_t *bytes, size_t size)
{
	size_t nr_digits = 0;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '#')
			while (i + 1 < size && bytes[i] != '\n')
				i++;
		if (!isxdigit(bytes[i]))
			continue;
		/* The byte that is written was read before: two digits make one. */
		int value = hex_value(bytes[i]);

		bytes[nr_digits / 2] =
			(uint8_t)(nr_digits % 2 ? bytes[nr_digits / 2] << 4 | value : value);
		nr_digits++;
	}
	return nr_digits / 2;
}

static bool input_read(struct input *input, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t len = strlen(path);

	input->bytes = malloc(INPUT_MAX);
	if (!file || !input->bytes)
		return false;
	input->size = fread(input->bytes, 1, INPUT_MAX, file);
	if (len > 4 && strcmp(path + len - 4, ".hex") == 0)
		input->size = decode_hex(input->bytes, input->size);
	input->hash = 14695981039346656037ull;
	for (size_t i = 0; i < input->size; i++)
		input->hash = (input->hash ^ input->bytes[i]) * 1099511628211ull;
	return true;
}

/* --- runs ------------------------------------------------------------------------------------ */

static void report(struct run *run, const char *path, int status)
{
	run->nr_files++;
	if (status == 0) {
		printf("ok %u - %s\n", run->nr_files, path);
	} else {
		run->nr_failed++;
		printf("not ok %u - %s\n", run->nr_files, path);
		printf("# status 0x%x; repeat: --only %lu %lu %s\n", (unsigned int)status, *run->at,
		       run->mutations, path);
	}
	(void)fflush(stdout); /* a child must not print it again */
}

/* In a child, so that one failure does not hide the next. */
static void run_file(struct run *run, const char *path)
{
	struct input input = { 0 };
	int status = -1;
	pid_t pid;

	*run->at = 0;
	pid = fork();
	if (pid == 0) {
		alarm(SECONDS_PER_FILE);
		if (!input_read(&input, path))
			exit(1);
		for (; *run->at <= run->mutations; ++*run->at)
			run_mutation(&input, *run->at);
		free(input.bytes);
		exit(0); /* so that leaks are looked for */
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	report(run, path, status);
}

static void run_folder(struct run *run, const char *path)
{
	struct dirent **entries;
	int nr = scandir(path, &entries, NULL, alphasort);

	for (int i = 0; i < nr; i++) {
		char name[PATH_MAX];

		(void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			run_file(run, name);
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);
}

static int run_only(unsigned long number, const char *path)
{
	struct input input = { 0 };

	if (!input_read(&input, path)) {
		perror(path);
		return 1;
	}
	run_mutation(&input, number);
	free(input.bytes);
	return 0;
}

int main(int argc, char *argv[])
{
	struct run run = { 0 };

	if (argc == 5 && strcmp(argv[1], "--only") == 0)
		return run_only(strtoul(argv[2], NULL, 10), argv[4]);
	if (argc < 3) {
		fprintf(stderr, "usage: %s [--only N] MUTATIONS PATH...\n", argv[0]);
		return 2;
	}
	run.mutations = strtoul(argv[1], NULL, 10);
	run.at = mmap(NULL, sizeof(*run.at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (run.at == MAP_FAILED)
		return 1;
	for (int i = 2; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			run_folder(&run, argv[i]);
		else
			run_file(&run, argv[i]);
	}
	printf("1..%u\n", run.nr_files);
	return run.nr_failed || !run.nr_files ? 1 : 0;
}
