/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The userspace payload of a patch that patch.h describes, for object OBJECT; IS_PLUG: it is one of the
 * libraries. Callbacks write where milestones go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upatch/livepatch.h>

UPATCH_OBJECT(OBJECT);

__attribute__((unused)) static void say(const char *line)
{
	int fd = open("/tmp/transcript", O_WRONLY | O_APPEND | O_CLOEXEC);

	(void)!write(fd, line, strlen(line));
	close(fd);
}

/* One write(2) for one line: the tool writes there, too. */
#define SAY(fmt, ...)                                                                              \
	do {                                                                                       \
		char line[256];                                                                    \
		snprintf(line, sizeof(line), "event: " fmt "\n", __VA_ARGS__);                     \
		say(line);                                                                         \
	} while (0)

#ifndef IS_PLUG
#ifdef SECRET
static int new_secret(int x)
{
	return SECRET;
}
UPATCH_FUNC(secret, new_secret);
#endif
#ifdef OTHER
static int new_other(int x)
{
	return OTHER;
}
UPATCH_FUNC(other, new_other);
#endif
#ifdef BOTH
static int new_both(void)
{
	return BOTH;
}
UPATCH_FUNC_POS(both, POSITION, new_both);
#endif
#ifdef BLOCK
static void new_block(int fd)
{
	char c;

	while (BLOCK && read(fd, &c, 1) < 0)
		continue;
	__asm__ volatile("");
}
UPATCH_FUNC(block_here, new_block);
#endif
#else
static int new_plug_value(int x)
{
	return PLUGS;
}
UPATCH_FUNC(plug_value, new_plug_value);
#endif

#ifdef CALLBACKS
static int pre(const struct upatch_callback *cb)
{
	SAY("pre_patch: '%s' (%d)", cb->object, cb->state);
	return access("/tmp/refuse", F_OK) == 0 ? -ENODEV : 0;
}

static void post(const struct upatch_callback *cb)
{
	SAY("post_patch: '%s' (%d)", cb->object, cb->state);
}

static void unpre(const struct upatch_callback *cb)
{
	SAY("pre_unpatch: '%s' (%d)", cb->object, cb->state);
}

static void unpost(const struct upatch_callback *cb)
{
	SAY("post_unpatch: '%s' (%d)", cb->object, cb->state);
}
#define HAS_CALLBACKS
#endif

#ifdef STATE
UPATCH_STATE(1, STATE);

static int pre(const struct upatch_callback *cb)
{
	struct upatch_state *prev = upatch_state_get_prev(1);

	upatch_state_get(1)->data = prev ? prev->data : malloc(8);
	SAY("pre_patch: '%s' state: %s", cb->object,
	    prev ? "space already allocated" : "allocating space");
	return 0;
}

static void post(const struct upatch_callback *cb)
{
	SAY("post_patch: '%s' state: %s", cb->object,
	    upatch_state_get_prev(1) ? "taking over" : "fixing");
}

static void unpre(const struct upatch_callback *cb)
{
	SAY("pre_unpatch: '%s' state: %s", cb->object, "restoring");
}

static void unpost(const struct upatch_callback *cb)
{
	SAY("post_unpatch: '%s' state: %s", cb->object, "freeing");
	free(upatch_state_get(1)->data);
}
#define HAS_CALLBACKS
#endif

#ifdef HAS_CALLBACKS
UPATCH_PRE_PATCH(pre);
UPATCH_POST_PATCH(post);
UPATCH_PRE_UNPATCH(unpre);
UPATCH_POST_UNPATCH(unpost);
#endif

#ifdef SHADOW_VARIABLES
#define SHADOW(call) upatch_shadow_##call
#define SHADOW_FLAGS
#include "shadow.h"

static void post(const struct upatch_callback *cb)
{
	SAY("post_patch: '%s' tries shadow variables", cb->object);
	try_shadow_variables();
}
UPATCH_POST_PATCH(post);
#endif
