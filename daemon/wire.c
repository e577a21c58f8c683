/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	NO_STRING = UINT32_MAX,
};

int wire_init(struct wire *w)
{
	*w = (struct wire){ .bytes = malloc(WIRE_MAX) };
	return w->bytes ? 0 : -ENOMEM;
}

void wire_deinit(struct wire *w)
{
	free(w->bytes);
	*w = (struct wire){};
}

void wire_reset(struct wire *w)
{
	w->size = 0;
	w->at = 0;
	w->has_failed = false;
}

static void put_bytes(struct wire *w, const void *bytes, size_t size)
{
	if (w->has_failed || size > WIRE_MAX - w->size) {
		w->has_failed = true;
		return;
	}
	memcpy(w->bytes + w->size, bytes, size);
	w->size += size;
}

void wire_put(struct wire *w, uint64_t number)
{
	put_bytes(w, &number, sizeof(number));
}

void wire_put_string(struct wire *w, const char *string)
{
	uint32_t length = string ? (uint32_t)strnlen(string, WIRE_STRING_MAX) : (uint32_t)NO_STRING;

	put_bytes(w, &length, sizeof(length));
	if (!string)
		return;
	put_bytes(w, string, length);
	put_bytes(w, "", 1);
}

static const uint8_t *get_bytes(struct wire *w, size_t size)
{
	const uint8_t *bytes = w->bytes + w->at;

	if (w->has_failed || size > w->size - w->at) {
		w->has_failed = true;
		return NULL;
	}
	w->at += size;
	return bytes;
}

uint64_t wire_get(struct wire *w)
{
	const uint8_t *bytes = get_bytes(w, sizeof(uint64_t));
	uint64_t number = 0;

	if (bytes)
		memcpy(&number, bytes, sizeof(number));
	return number;
}

uint64_t wire_get_max(struct wire *w, uint64_t max)
{
	uint64_t number = wire_get(w);

	if (number <= max)
		return number;
	w->has_failed = true;
	return 0;
}

const char *wire_get_string(struct wire *w)
{
	const uint8_t *bytes = get_bytes(w, sizeof(uint32_t));
	uint32_t length;

	if (!bytes)
		return NULL;
	memcpy(&length, bytes, sizeof(length));
	if (length == (uint32_t)NO_STRING)
		return NULL;
	if (length > WIRE_STRING_MAX) {
		w->has_failed = true;
		return NULL;
	}
	bytes = get_bytes(w, (size_t)length + 1);
	if (bytes && strnlen((const char *)bytes, (size_t)length + 1) == length)
		return (const char *)bytes;
	w->has_failed = true;
	return NULL;
}

bool wire_is_done(const struct wire *w)
{
	return !w->has_failed && w->at == w->size;
}

int wire_send(struct wire *w, int fd)
{
	if (w->has_failed)
		return -EMSGSIZE;
	return send(fd, w->bytes, w->size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int wire_receive(struct wire *w, int fd)
{
	ssize_t size = recv(fd, w->bytes, WIRE_MAX, MSG_TRUNC);

	wire_reset(w);
	if (size < 0)
		return -errno;
	if (size > WIRE_MAX)
		return -EMSGSIZE;
	w->size = (size_t)size;
	return size > 0;
}
