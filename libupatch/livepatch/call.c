/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/call.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/agent.h"
#include "livepatch/backtrace.h"
#include "livepatch/session.h"
#include "livepatch/walk.h"
#include "target/linkmap.h"
#include "target/target.h"
#include "target/unwind.h"

static const uint64_t call_patience = 2 * NSEC_PER_SEC;
static const uint64_t waiting_preference = 100 * NSEC_PER_MSEC;
static const uint64_t main_preference = 10 * NSEC_PER_MSEC;

/* --- which thread ------------------------------------------------------------------------------ */

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* May the function at this address be waiting with a lock that others need all the time? */
static bool is_delicate(const struct backtrace_name *name)
{
	static const char *const objects[] = { "ld-",	      "ld.so",	     "libgcc_s",
					       "libjemalloc", "libtcmalloc", "libmimalloc" };
	static const char *const prefixes[] = { "_int_", "arena_",    "sysmalloc", "systrim",
						"_dl_",	 "__gthread", "_Unwind_" };
	static const char *const names[] = {
		"malloc",	   "free",     "calloc",	 "realloc",
		"reallocarray",	   "memalign", "posix_memalign", "aligned_alloc",
		"valloc",	   "pvalloc",  "malloc_trim",	 "malloc_consolidate",
		"dl_iterate_phdr", "fork",
	};
	const char *function = name->function;

	for (size_t i = 0; name->object && i < ARRAY_SIZE(objects); i++)
		if (has_prefix(name->object, objects[i]))
			return true;
	if (!function)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (has_prefix(function, prefixes[i]))
			return true;
	if (has_prefix(function, "__libc_"))
		function += strlen("__libc_");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(function, names[i]) == 0)
			return true;
	return false;
}

/*
 * What constructors and destructors do is their own affair: the dynamic linker's lock, if it is held, is
 * the thread's own, which may take it again.
 */
static bool runs_constructors(const struct backtrace_name *name)
{
	static const char *const names[] = { "_dl_init", "call_init", "_dl_fini", "_dl_call_fini" };

	for (size_t i = 0; name->object && name->function && i < ARRAY_SIZE(names); i++)
		if (has_prefix(name->object, "ld-") && strcmp(name->function, names[i]) == 0)
			return true;
	return false;
}

struct chooser {
	struct session *session;
	struct maps maps; /* as of now: stacks are made and grow */
	struct unwind_stack *stack;
	uint64_t main_until;	/* the main thread alone */
	uint64_t waiting_until; /* waiting threads alone */
};

static bool is_suitable(struct target *target, const struct thread *thread, void *userdata)
{
	struct chooser *c = userdata;
	bool is_waiting = regs_is_waiting(&thread->regs);
	enum unwind_outcome outcome;

	if (thread->tid != target->pid && !deadline_is_over(c->main_until))
		return false;
	if (!rcall_is_suitable(target, thread, &c->maps))
		return false;
	if (!is_waiting && !deadline_is_over(c->waiting_until))
		return false;
	outcome = walk_thread(c->session, thread, c->stack);
	for (size_t i = 0; i < c->stack->nr; i++) {
		const struct unwind_frame *frame = &c->stack->frames[i];
		struct backtrace_name name;

		/* It may be changing what we would have it change. */
		if (agent_has_addr(c->session, frame->pc))
			return false;
		backtrace_name(c->session, frame->is_exact ? frame->pc : frame->pc - 1, &name);
		if (i && runs_constructors(&name))
			break;
		if (is_delicate(&name))
			return false;
	}
	/* One that runs may be anywhere, if it is not known where. */
	return is_waiting || outcome == UNWIND_COMPLETE;
}

static int borrow(struct session *s, uint64_t deadline, struct rcall *ret)
{
	_cleanup_free_ struct unwind_stack *stack = malloc(sizeof(*stack));
	struct chooser chooser = {
		.session = s,
		.stack = stack,
		.main_until = deadline_in(main_preference),
		.waiting_until = deadline_in(waiting_preference),
	};
	const struct rcall_choice choice = { is_suitable, &chooser };
	int r = 0;

	if (!stack)
		return diag_oom(s->diag);
	if (!s->unwinder)
		r = session_prepare_unwinder(s);
	if (r >= 0 && !s->sites.syscall_addr)
		r = rcall_find_sites(s->target, &s->sites);
	if (r >= 0)
		r = target_maps(s->target, &chooser.maps);
	backtrace_prepare(s);
	if (r >= 0)
		r = rcall_borrow_chosen(s->target, &choice, &s->sites, deadline, ret);
	maps_deinit(&chooser.maps);
	return r;
}

/* --- errno ----------------------------------------------------------------------------------- */

/* Where a thread has it; 0: the C library is none that we know. */
static uint64_t errno_addr(struct session *s, const struct thread *thread)
{
	for (size_t i = 0; i < s->objects.nr; i++) {
		struct object *o = &s->objects.objects[i];
		const struct symtab *symtab;
		struct linkmap_tls tls;
		struct image *image;
		struct symbol symbol;

		if ((!o->is_executable && strncmp(o->name, "libc.so", strlen("libc.so")) != 0) ||
		    object_image(&s->objects, o, &image) < 0 ||
		    image_symtab(image, NULL, &symtab) < 0 ||
		    symtab_find(symtab, NULL, o->name, "errno", 0, SYMBOL_TLS, &symbol) < 0)
			continue;
		if (linkmap_tls(&s->objects, o, &tls) == 0 && tls.has_tpoff)
			return regs_tp(&thread->regs) + (uint64_t)tls.tpoff + symbol.value;
	}
	return 0;
}

/*
 * The thread's own system call may have failed already, or will succeed and leave errno alone, by
 * which some programs tell one from the other. When we die the function's errno stays.
 */
static int call_keeping_errno(struct session *s, struct rcall *rcall, const struct rcall_call *it,
			      struct rcall_result *ret)
{
	uint64_t addr = errno_addr(s, rcall->thread);
	int saved;
	int r, back = 0;

	if (addr && target_read(s->target, addr, &saved, sizeof(saved)) < 0)
		addr = 0;
	r = rcall_call(rcall, it, ret);
	if (r >= 0 && addr)
		back = target_write(s->target, rcall->thread->tid, addr, &saved, sizeof(saved));
	return back < 0 ? back : r;
}

/* --- the call ---------------------------------------------------------------------------------- */

static int raise_failed(struct session *s, const struct call *call, enum rcall_outcome outcome,
			const struct rcall_result *result)
{
	struct diag_where where = { .object = call->object };
	struct backtrace_name name;

	backtrace_name(s, result->pc, &name);
	if (outcome == RCALL_CRASHED)
		return diag_err(s->diag, -EFAULT, UPATCH_E_CALLBACK, &where,
				"%s crashed with signal %d at 0x%llx (%s+0x%llx); its thread was "
				"put back",
				call->what, result->signal, (unsigned long long)result->pc,
				name.function ? name.function
				: name.object ? name.object
					      : "?",
				(unsigned long long)(name.function ? name.offset : 0));
	return diag_err(s->diag, -ETIMEDOUT, UPATCH_E_CALLBACK, &where,
			"%s did not return in time, it was at 0x%llx (%s); its thread was put "
			"back, and locks that it took are still held",
			call->what, (unsigned long long)result->pc,
			name.function ? name.function
			: name.object ? name.object
				      : "?");
}

int call_function(struct session *session, const struct call *call, uint64_t *ret)
{
	uint64_t deadline = MAX(session->deadline, deadline_in(call_patience));
	const struct rcall_call it = {
		.addr = call->addr,
		.args = { call->args[0], call->args[1] },
		.landing_addr = call->landing_addr,
		.deadline = deadline,
	};
	struct rcall_result result;
	struct rcall rcall;
	int r, end;

	r = borrow(session, deadline, &rcall);
	if (r < 0)
		return r;
	r = call_keeping_errno(session, &rcall, &it, &result);
	end = rcall_give_back(&rcall);
	session->has_lost_call |= r < 0 || r == RCALL_OVERDUE;
	if (r > 0)
		return raise_failed(session, call, (enum rcall_outcome)r, &result);
	if (r < 0 || end < 0)
		return r < 0 ? r : end;
	*ret = result.value;
	return 0;
}
