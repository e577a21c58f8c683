/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/session.h"

#include <errno.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/library.h"
#include "target/freeze.h"
#include "target/target.h"
#include "target/unwind.h"

enum {
	READS_MAX = 5,
};

static const uint64_t borrow_patience = 2 * NSEC_PER_SEC;
static const uint64_t stop_patience = NSEC_PER_SEC;

/* What was read while the agent changed it may look damaged, or be of two times. */
static int read_running(struct session *s)
{
	int r = 0;

	if (!s->record.addr) {
		r = record_read(s->target, &s->maps, &s->record);
		s->generation = UINT64_MAX;
	}
	return r < 0 ? r : library_sync(s);
}

/* It is being changed all the time: stop everybody for it. */
static int read_stopped(struct session *s)
{
	struct freeze freeze;
	int r;

	r = session_freeze(s, &freeze);
	if (r < 0)
		return r;
	r = read_running(s);
	freeze_thaw(&freeze);
	return r;
}

/* A tool that was killed may have had the target unmap something, which it does just now. */
static bool is_torn(int r)
{
	return r == -EBADMSG || r == -EFAULT;
}

static int look_again(struct session *s, int r)
{
	if (r >= 0)
		return 0;
	diag_clear(s->diag);
	return session_reload_maps(s);
}

int session_read_record(struct session *session)
{
	int r = 1;

	for (int i = 0; i < READS_MAX && (r > 0 || is_torn(r)); i++) {
		r = look_again(session, r);
		if (r >= 0)
			r = read_running(session);
	}
	if (r > 0 || is_torn(r)) {
		r = look_again(session, r);
		if (r >= 0)
			r = read_stopped(session);
	}
	return r < 0 ? r : 0;
}

int session_open(struct target *target, struct image_cache *cache, uint64_t deadline,
		 struct session *ret)
{
	struct session *s = ret;
	int r;

	*s = (struct session){
		.target = target,
		.diag = target->diag,
		.cache = cache,
		.deadline = deadline,
	};
	r = target_check_alive(target);
	if (r >= 0)
		r = target_maps(target, &s->maps);
	if (r >= 0)
		r = object_list_read(target, cache, &s->maps, &s->objects);
	if (r >= 0)
		r = session_read_record(s);
	if (r >= 0)
		library_report(s);
	if (r < 0)
		session_close(s);
	return r;
}

void session_close(struct session *session)
{
	unwinder_free(session->unwinder);
	free(session->stack_pointers);
	free(session->thread_pointers);
	free(session->registers);
	record_deinit(&session->record);
	object_list_deinit(&session->objects);
	maps_deinit(&session->maps);
	*session = (struct session){};
}

int session_reload_maps(struct session *session)
{
	struct object_list objects;
	struct maps maps;
	int r;

	r = target_maps(session->target, &maps);
	if (r < 0)
		return r;
	/* The objects borrow their paths from the old snapshot: make both anew. */
	r = object_list_read(session->target, session->cache, &maps, &objects);
	if (r < 0) {
		maps_deinit(&maps);
		return r;
	}
	object_list_deinit(&session->objects);
	maps_deinit(&session->maps);
	session->maps = maps;
	session->objects = objects;
	session->objects.maps = &session->maps;
	return 0;
}

static int add_payloads(struct session *session)
{
	int r = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++) {
		const struct upatch_meta *meta = session->record.metas[i];

		for (uint32_t n = 0; meta && n < meta->nr_objects && r >= 0; n++) {
			const struct upatch_meta_object *o = &meta_objects(meta)[n];

			if (o->eh_frame_hdr_addr)
				r = unwinder_add_code(session->unwinder, o->payload_addr,
						      o->payload_addr + o->text_size,
						      o->eh_frame_hdr_addr, o->eh_frame_hdr_size);
		}
	}
	return r < 0 ? r : agent_add_code(session);
}

int session_prepare_unwinder(struct session *session)
{
	int r;

	unwinder_free(session->unwinder);
	session->unwinder = NULL;
	r = unwinder_new(&session->objects, &session->unwinder);
	if (r < 0)
		return r;
	unwinder_prepare(session->unwinder);
	return add_payloads(session);
}

int session_freeze(struct session *session, struct freeze *ret)
{
	return freeze_all(session->target, MAX(session->deadline, deadline_in(stop_patience)), ret);
}

void session_remember_stacks(struct session *session, const struct freeze *freeze)
{
	struct session *s = session;
	bool has_room;

	free(s->stack_pointers);
	free(s->thread_pointers);
	free(s->registers);
	s->nr_stack_pointers = s->nr_registers = 0;
	s->stack_pointers = calloc(freeze->nr + 1, sizeof(*s->stack_pointers));
	s->thread_pointers = calloc(freeze->nr + 1, sizeof(*s->thread_pointers));
	s->registers = calloc(freeze->nr + 1, (ARCH_GENERAL_REGS + 1) * sizeof(*s->registers));
	has_room = s->stack_pointers && s->thread_pointers && s->registers;
	for (size_t i = 0; has_room && i < freeze->nr; i++) {
		const struct thread *thread = &freeze->threads[i];

		if (thread->state == THREAD_GONE)
			continue;
		s->thread_pointers[s->nr_stack_pointers] = regs_tp(&thread->regs);
		s->stack_pointers[s->nr_stack_pointers++] = regs_sp(&thread->regs);
		s->nr_registers += regs_live(&thread->regs, &s->registers[s->nr_registers]);
		/* On the landing that functions return to that we have run, nothing else tells. */
		s->registers[s->nr_registers++] = regs_pc(&thread->regs);
	}
}

int session_borrow(struct session *session, struct rcall *ret)
{
	int r;

	if (!session->sites.syscall_addr) {
		r = rcall_find_sites(session->target, &session->sites);
		if (r < 0)
			return r;
	}
	/* What has been begun is put in order even when its time is over. */
	return rcall_borrow(session->target, &session->maps, &session->sites,
			    MAX(session->deadline, deadline_in(borrow_patience)), ret);
}
