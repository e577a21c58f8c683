/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_WIRE_H
#define DAEMON_WIRE_H

/*
 * Messages between the daemon and its workers: one datagram each, numbers and strings in an order
 * that both sides know. Workers look into hostile processes, so that what comes from one is checked
 * like any input: reading beyond the end, or a string that is none, fails the message for good.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WIRE_MAX = 128 << 10, /* bytes of a message */
	WIRE_STRING_MAX = 16 << 10,
};

struct wire {
	uint8_t *bytes; /* WIRE_MAX of them, owned */
	size_t size;	/* written, or received */
	size_t at;	/* read so far */
	bool has_failed;
};

/* Return: 0 or -ENOMEM. */
int wire_init(struct wire *w);
void wire_deinit(struct wire *w);
void wire_reset(struct wire *w);

/* What does not fit fails the message, which wire_send() tells. */
void wire_put(struct wire *w, uint64_t number);
void wire_put_string(struct wire *w, const char *string); /* cut at WIRE_STRING_MAX; or NULL */

/* After a failure 0 and NULL. Strings are borrowed, until the next message is received. */
uint64_t wire_get(struct wire *w);
uint64_t wire_get_max(struct wire *w, uint64_t max); /* more than @max fails it */
const char *wire_get_string(struct wire *w);

/* Was all of it read, and nothing wrong? */
bool wire_is_done(const struct wire *w);

/* Return: 0, -EMSGSIZE, or the errno of send(). */
int wire_send(struct wire *w, int fd);

/* Return: 1, 0 at the end of the stream, -EAGAIN, or the errno of recv(). */
int wire_receive(struct wire *w, int fd);

#endif
