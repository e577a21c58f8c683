/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ini.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "failure.h"

enum {
	LINE_MAX_BYTES = 8192,
	SECTION_MAX = 64,
};

struct ini {
	const char *file;
	unsigned int number;
	char section[SECTION_MAX];
	ini_fn fn;
	void *userdata;
	struct failure *f;
};

static int refuse(struct ini *ini, const char *what)
{
	return failure_set(ini->f, -EINVAL, UPATCH_E_CONFIG, "%s:%u: %s", ini->file, ini->number,
			   what);
}

static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r", text[length - 1]))
		length--;
	text[length] = 0;
	return text;
}

static int parse_section(struct ini *ini, char *text, struct ini_line *line)
{
	size_t length = strlen(text);

	if (text[length - 1] != ']' || length < 3)
		return refuse(ini, "a section is written [Name]");
	if (length - 2 >= sizeof(ini->section))
		return refuse(ini, "the section's name is too long");
	memcpy(ini->section, text + 1, length - 2);
	ini->section[length - 2] = 0;
	line->section = ini->section;
	return ini->fn(ini->userdata, line, ini->f);
}

static int parse_line(struct ini *ini, char *text)
{
	char where[512];
	struct ini_line line = { .where = where, .section = ini->section };
	char *equals;

	(void)snprintf(where, sizeof(where), "%s:%u", ini->file, ini->number); /* or cut */
	text = trim(text);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (*text == '[')
		return parse_section(ini, text, &line);
	equals = strchr(text, '=');
	if (!equals || equals == text)
		return refuse(ini, "a setting is written Key=value");
	if (!*ini->section)
		return refuse(ini, "a setting stands before the first [Section]");
	*equals = 0;
	line.key = trim(text);
	line.value = trim(equals + 1);
	return ini->fn(ini->userdata, &line, ini->f);
}

int ini_parse(const char *text, size_t size, const char *file, ini_fn fn, void *userdata,
	      struct failure *f)
{
	struct ini ini = { .file = file, .fn = fn, .userdata = userdata, .f = f };
	char line[LINE_MAX_BYTES];
	int r = 0;

	while (size > 0 && r >= 0) {
		const char *end = memchr(text, '\n', size);
		size_t length = end ? (size_t)(end - text) : size;

		ini.number++;
		if (length >= sizeof(line))
			return refuse(&ini, "the line is too long");
		if (memchr(text, 0, length))
			return refuse(&ini, "a byte of 0: this is no text");
		memcpy(line, text, length);
		line[length] = 0;
		r = parse_line(&ini, line);
		length += end != NULL;
		text += length;
		size -= length;
	}
	return r;
}

static int read_all(int fd, char *buffer, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, buffer + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* cut off meanwhile */
		at += (size_t)n;
	}
	return 0;
}

int ini_read(const char *path, char **ret, size_t *ret_size, struct failure *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return failure_set(f, -errno, UPATCH_E_IO, "cannot read '%s': %s", path,
				   strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failure_set(f, -EINVAL, UPATCH_E_CONFIG, "'%s' is no regular file", path);
	if (st.st_size > INI_SIZE_MAX)
		return failure_set(f, -EFBIG, UPATCH_E_CONFIG, "'%s' is larger than %d bytes", path,
				   INI_SIZE_MAX);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return failure_oom(f);
	r = read_all(fd, text, (size_t)st.st_size);
	if (r < 0)
		return failure_set(f, r, UPATCH_E_IO, "cannot read '%s': %s", path, strerror(-r));
	text[st.st_size] = 0;
	*ret_size = (size_t)st.st_size;
	*ret = take_ptr(text);
	return 0;
}
