/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/library.h"

#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <upatch/abi_agent.h>

#include "agent/dl.h"
#include "base/array.h"
#include "base/backoff.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/call.h"
#include "livepatch/hooks.h"
#include "livepatch/session.h"
#include "livepatch/slots.h"
#include "target/freeze.h"
#include "target/target.h"

static const uint64_t patience = 2 * NSEC_PER_SEC;

enum {
	NAMESPACES_MAX = 64, /* glibc has 16 */
};

/* --- keeping up -------------------------------------------------------------------------------- */

static int raise_loading(struct session *s)
{
	return diag_err(s->diag, -EAGAIN, UPATCH_E_LOADING, NULL,
			"a thread is loading or unloading a library all the time");
}

/* Is the dynamic linker about to unmap what the record still has, or has just done so? */
static bool is_unmapping(struct session *s)
{
	uint64_t addr = 0;
	bool found = false;

	if (!hooks_are_armed(s))
		return false;
	if (agent_load_data(s, offsetof(struct upatch_agent_data, r_debug_addr), &addr,
			    sizeof(addr)) < 0)
		diag_clear(s->diag);
	for (int i = 0; addr && i < NAMESPACES_MAX && !found; i++) {
		struct r_debug_extended debug;

		if (target_read(s->target, addr, &debug, sizeof(debug)) < 0)
			break;
		found = debug.base.r_state == RT_DELETE;
		addr = debug.base.r_version >= 2 ? (uint64_t)(uintptr_t)debug.r_next : 0;
	}
	return found;
}

int library_freeze(struct session *session, struct freeze *ret)
{
	uint64_t deadline = MAX(session->deadline, deadline_in(patience));
	struct backoff backoff = {};
	int r;

	for (;;) {
		r = session_freeze(session, ret);
		if (r < 0 || agent_region(session) < 0 ||
		    (!agent_is_busy(session) && !is_unmapping(session)))
			return r;
		freeze_thaw(ret);
		if (deadline_is_over(deadline))
			return raise_loading(session);
		backoff_wait(&backoff, deadline);
	}
}

static int read_generation(struct session *s, uint64_t *ret)
{
	return agent_load_data(s, offsetof(struct upatch_agent_data, generation), ret,
			       sizeof(*ret));
}

bool library_has_changed(struct session *session)
{
	uint64_t generation;

	if (agent_region(session) < 0)
		return false;
	return read_generation(session, &generation) < 0 || generation != session->generation;
}

int library_sync(struct session *session)
{
	uint64_t generation;
	int r;

	if (agent_region(session) < 0)
		return 0;
	r = read_generation(session, &generation);
	if (r < 0 || generation == session->generation)
		return r;
	r = record_reread(&session->record);
	if (r < 0)
		return r;
	session->generation = generation;
	return 1;
}

/* --- what happened ----------------------------------------------------------------------------- */

static const char *const callback_names[] = {
	[UPATCH_KIND_PRE_PATCH] = "pre-patch",
	[UPATCH_KIND_POST_PATCH] = "post-patch",
	[UPATCH_KIND_PRE_UNPATCH] = "pre-unpatch",
	[UPATCH_KIND_POST_UNPATCH] = "post-unpatch",
};

static const char *patch_name(const struct session *s, uint64_t seq)
{
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (s->record.metas[i] && s->record.head->patches[i].seq == seq)
			return s->record.metas[i]->name;
	return "?";
}

const char *library_refused_text(enum upatch_refused reason)
{
	switch (reason) {
	case UPATCH_REFUSED_BUILD_ID:
		return "the patch requires another build of it";
	case UPATCH_REFUSED_NO_ROOM:
		return "there is no room near it";
	case UPATCH_REFUSED_BYTES:
		return "a function's entry is not what the patch was made for";
	case UPATCH_REFUSED_UNRESOLVED:
		return "the replacement refers to a symbol that no object in the target exports";
	case UPATCH_REFUSED_TLS:
		return "a thread-local variable is not where the replacement can reach it";
	case UPATCH_REFUSED_RANGE:
		return "something is out of reach";
	case UPATCH_REFUSED_CALLBACK:
		return "pre-patch callback failed";
	case UPATCH_REFUSED_WRITE:
		return "the process may not make or write code";
	case UPATCH_REFUSED_FULL:
		return "it is loaded more often than can be patched";
	}
	return "for an unknown reason";
}

static void report(struct session *s, const struct upatch_event *e)
{
	const char *patch = patch_name(s, e->seq);
	int pid = (int)s->target->pid;

	switch (e->kind) {
	case UPATCH_EVENT_COMING:
		diag_info(s->diag, "target %d: applying patch '%s' to loading object '%s'", pid,
			  patch, e->object);
		break;
	case UPATCH_EVENT_GOING:
		diag_info(s->diag, "target %d: reverting patch '%s' on unloading object '%s'", pid,
			  patch, e->object);
		break;
	case UPATCH_EVENT_CALLBACK:
		if (e->error >= UPATCH_KIND_PRE_PATCH && e->error <= UPATCH_KIND_POST_UNPATCH)
			diag_debug(s->diag,
				   "target %d: patch '%s': running %s callback for object '%s'",
				   pid, patch, callback_names[e->error], e->object);
		break;
	case UPATCH_EVENT_REFUSED:
	case UPATCH_EVENT_UNPATCHED:
		diag_warn(s->diag, "target %d: patch '%s' failed for object '%s', %s: %s%s%s", pid,
			  patch, e->object,
			  e->kind == UPATCH_EVENT_REFUSED ? "refusing to load it"
							  : "which is loaded without it",
			  library_refused_text((enum upatch_refused)e->reason),
			  *e->detail ? ": " : "", e->detail);
		break;
	case UPATCH_EVENT_FAILED: /* raised by whoever asked for it */
		break;
	case UPATCH_EVENT_TRAPPED:
		diag_warn(
			s->diag,
			"target %d: patch '%s': its code called '%s' of object '%s', which is not "
			"loaded",
			pid, patch, e->detail, e->object);
		break;
	case UPATCH_EVENT_OTHER_BUILD:
		diag_info(s->diag, "target %d: patch '%s': object '%s' came in another build", pid,
			  patch, e->object);
		break;
	}
}

/* Bytes of the target: strings must end. */
static struct upatch_event sane(const struct upatch_event *event)
{
	struct upatch_event e = *event;

	e.object[sizeof(e.object) - 1] = e.detail[sizeof(e.detail) - 1] = '\0';
	for (char *p = e.object; *p; p++)
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	for (char *p = e.detail; *p; p++)
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	return e;
}

static const struct upatch_event *find_event(const struct upatch_agent_data *data, uint64_t number)
{
	const struct upatch_event *e = &data->events[number % UPATCH_EVENTS_MAX];

	return e->number == number ? e : NULL;
}

void library_report(struct session *session)
{
	struct upatch_agent_data data;
	uint64_t first;

	if (agent_region(session) < 0 || agent_read_data(session, &data) < 0 ||
	    data.last_event <= data.seen_event)
		return;
	first = MAX(data.seen_event + 1, data.last_event > UPATCH_EVENTS_MAX
						 ? data.last_event - UPATCH_EVENTS_MAX + 1
						 : 1);
	for (uint64_t i = 0; i < UPATCH_EVENTS_MAX && i <= data.last_event - first; i++) {
		const struct upatch_event *found = find_event(&data, first + i);
		struct upatch_event event;

		if (!found)
			continue;
		event = sane(found);
		report(session, &event);
	}
	/* It may be told twice, then. */
	(void)agent_store_data(session, offsetof(struct upatch_agent_data, seen_event),
			       &data.last_event, sizeof(data.last_event));
}

/* --- having the agent work --------------------------------------------------------------------- */

static int call_agent(struct session *s, const char *export, uint64_t a, uint64_t b, uint64_t *ret)
{
	const struct call call = {
		.what = export,
		.object = "upatch:agent",
		.addr = agent_export_addr(s, export),
		.args = { a, b },
		.landing_addr = hooks_landing(s),
	};
	int r;

	r = call_function(s, &call, ret);
	if (r < 0 && s->has_lost_call)
		(void)agent_break_lock(s); /* reports itself; whoever waits for it waits on */
	library_report(s);
	return r;
}

static enum upatch_reason reason_of(uint32_t refused)
{
	static const enum upatch_reason reasons[] = {
		[UPATCH_REFUSED_BUILD_ID] = UPATCH_E_BUILD_ID,
		[UPATCH_REFUSED_NO_ROOM] = UPATCH_E_NO_ROOM,
		[UPATCH_REFUSED_BYTES] = UPATCH_E_BYTES_DIFFER,
		[UPATCH_REFUSED_UNRESOLVED] = UPATCH_E_UNRESOLVED,
		[UPATCH_REFUSED_TLS] = UPATCH_E_TLS_SYMBOL,
		[UPATCH_REFUSED_RANGE] = UPATCH_E_RELOC_RANGE,
		[UPATCH_REFUSED_CALLBACK] = UPATCH_E_CALLBACK,
		[UPATCH_REFUSED_WRITE] = UPATCH_E_NOT_FOLLOWED,
		[UPATCH_REFUSED_FULL] = UPATCH_E_RECORD_FULL,
	};

	return refused < ARRAY_SIZE(reasons) && reasons[refused] ? reasons[refused]
								 : UPATCH_E_INTERNAL;
}

static int raise_refused(struct session *s)
{
	struct upatch_agent_data data;
	const struct upatch_event *found;
	struct upatch_event event;
	struct diag_where where;
	int r;

	r = agent_read_data(s, &data);
	if (r < 0)
		return r;
	found = find_event(&data, data.last_event);
	event = found ? sane(found) : (struct upatch_event){};
	where = (struct diag_where){ .object = event.object };
	return diag_err(s->diag, event.error < 0 && event.error > -4096 ? event.error : -EINVAL,
			reason_of(event.reason), &where, "%s%s%s%s%s",
			library_refused_text((enum upatch_refused)event.reason),
			*event.detail ? ": " : "", event.detail, event.error < 0 ? ": " : "",
			event.error < 0 ? strerror(-event.error) : "");
}

int library_raise_not_followed(struct session *session, const char *fmt, ...)
{
	char why[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, args); /* a message may be cut off */
	va_end(args);
	return diag_err(session->diag, -ENOTSUP, UPATCH_E_NOT_FOLLOWED, NULL,
			"libraries that this process loads cannot be followed: %s", why);
}

int library_probe(struct session *session)
{
	const uint64_t may_not_open = session->may_not_open;
	uint64_t value;
	int r;

	/* No filter judges a thread that is borrowed: what it would say is said beforehand. */
	r = agent_store_data(session, offsetof(struct upatch_agent_data, may_not_open),
			     &may_not_open, sizeof(may_not_open));
	if (r >= 0)
		r = call_agent(session, "dl_probe", 0, 0, &value);
	if (r < 0 || !value)
		return r;
	session->may_not_write = true;
	return diag_err(session->diag, -ENOTSUP, UPATCH_E_NOT_FOLLOWED, NULL,
			"libraries that this process loads cannot be patched: it may not make or "
			"write code: %s",
			strerror((int)-(int64_t)value));
}

int library_scan(struct session *session, size_t patch)
{
	uint64_t deadline = MAX(session->deadline, deadline_in(patience));
	uint64_t seq = session->record.head->patches[patch].seq;
	struct backoff backoff = {};
	uint64_t value;
	int r;

	for (;;) {
		r = call_agent(session, "dl_scan", seq, 0, &value);
		if (r < 0)
			return r;
		if (value != DL_AGAIN)
			break;
		if (deadline_is_over(deadline))
			return raise_loading(session);
		backoff_wait(&backoff, deadline);
	}
	return value == DL_REFUSED ? raise_refused(session) : 0;
}

int library_claim(struct session *session, size_t patch)
{
	struct record *record = &session->record;
	struct freeze freeze;
	int r;

	if (agent_region(session) < 0 || record->head->patches[patch].state != UPATCH_PATCH_LOADED)
		return 0;
	r = library_freeze(session, &freeze);
	if (r < 0)
		return r;
	r = library_sync(session);
	if (r >= 0)
		r = record_set_patch_state(record, freeze_any(&freeze), patch,
					   UPATCH_PATCH_UNLOADING);
	/* Libraries that came meanwhile, or were placed, lead to it, or are about to. */
	if (r >= 0)
		r = slots_settle_all(session, freeze_any(&freeze));
	freeze_thaw(&freeze);
	return r;
}

int library_forget(struct session *session, size_t patch)
{
	uint64_t nr_left;
	int r;

	r = call_agent(session, "dl_forget", session->record.head->patches[patch].seq, 0, &nr_left);
	return r < 0 ? r : nr_left > 0;
}

int library_call(struct session *session, size_t patch, size_t object,
		 enum upatch_callback_kind kind, int *ret)
{
	uint64_t value;
	int r;

	r = call_agent(session, "dl_callback", session->record.head->patches[patch].seq,
		       (uint64_t)kind << 32 | object, &value);
	if (r >= 0)
		*ret = (int)value;
	return r;
}
