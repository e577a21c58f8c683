/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_UPATCH_H
#define UPATCH_UPATCH_H

/*
 * libupatch: replace functions in running programs.
 *
 * A context belongs to one thread: tracing a process is bound to the thread that began it. All
 * functions return 0 or a positive, documented outcome, or a negative errno; after a negative one
 * upatch_ctx_error() tells reason, place and cause. Outputs are untouched on failure. Every
 * function with a target may block, at most for its timeout.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct upatch_ctx;
struct upatch_target;
struct upatch_patch;

enum upatch_log_level {
	UPATCH_LOG_WARNING,
	UPATCH_LOG_INFO, /* milestones of transitions: their text is an interface */
	UPATCH_LOG_DEBUG,
};

typedef void (*upatch_log_fn)(void *userdata, enum upatch_log_level level, const char *line);

/* --- context --------------------------------------------------------------------------------- */

/** upatch_version() - version of the library, "MAJOR.MINOR.PATCH" */
const char *upatch_version(void);

/** upatch_ctx_new() - a context; free it with upatch_ctx_free() after everything made from it */
int upatch_ctx_new(struct upatch_ctx **ret);
void upatch_ctx_free(struct upatch_ctx *ctx);

/** upatch_ctx_set_log() - where lines up to @level go; @fn NULL for nowhere, the default */
void upatch_ctx_set_log(struct upatch_ctx *ctx, enum upatch_log_level level, upatch_log_fn fn,
			void *userdata);

/** upatch_ctx_error() - the last failure; never NULL, borrowed until the context's next call */
const struct upatch_error *upatch_ctx_error(const struct upatch_ctx *ctx);

/* --- patch files ----------------------------------------------------------------------------- */

struct upatch_func_info {
	const char *name;	 /* of the original function */
	const char *replacement; /* symbol in the payload */
	unsigned int sympos;	 /* klp's: 0 when the name is unique, else 1-based */
	uint64_t old_value;	 /* link-time address, 0 when only the name is known */
	uint64_t old_size;	 /* bytes, 0 when unknown */
	uint64_t new_size;
};

struct upatch_reloc_info {
	const char *section;
	uint64_t offset;
	const char *type; /* "R_X86_64_PC32" */
	const char *symbol;
	int64_t addend;
	bool is_private; /* against a symbol of the object that its dynamic linker does not see */
};

struct upatch_object_info {
	const char *name;     /* "" is never used: the executable goes by its name, too */
	const char *build_id; /* lower-case hex */
	bool is_executable;   /* it is no library: it never comes or goes */
	bool is_required;     /* of a library: no other build of it may be loaded */
	bool has_code;	      /* so that the patch can wait for the library */
	size_t payload_size;  /* bytes of the ET_REL payload */
	const struct upatch_func_info *funcs;
	size_t nr_funcs;
	const struct upatch_reloc_info *relocs;
	size_t nr_relocs;
};

/* A klp module, for one kernel. */
struct upatch_module_info {
	const char *name;
	const char *release; /* as uname -r */
	const char *vermagic;
	size_t size; /* bytes */
};

struct upatch_patch_info {
	const char *name;
	const char *version;	 /* or "" */
	const char *description; /* or "" */
	const char *arch;	 /* "x86_64" */
	bool replace;
	bool strict; /* stack_order=strict */
	const char *const *cves;
	size_t nr_cves;
	const struct upatch_object_info *objects;
	size_t nr_objects;
	const struct upatch_module_info *modules; /* of the kernel's side */
	size_t nr_modules;
	bool kernel_last; /* the processes go before the kernel */
	uint32_t digest;  /* of the file: tells two builds of one version apart; never 0 */
};

/**
 * upatch_patch_open() - read and validate a .upatch file
 * Return: 0, or -errno with UPATCH_E_BAD_PATCHFILE, UPATCH_E_NOT_ELF, UPATCH_E_ARCHITECTURE, ...
 */
int upatch_patch_open(struct upatch_ctx *ctx, const char *path, struct upatch_patch **ret);
void upatch_patch_close(struct upatch_patch *patch);

/** upatch_patch_info() - what is in it; borrowed, lives as long as the patch */
const struct upatch_patch_info *upatch_patch_info(const struct upatch_patch *patch);

enum {
	UPATCH_BUILD_ID_MAX = 2 * 64 + 1, /* bytes of its text, with the 0 */
};

/**
 * upatch_file_build_id() - the build ID of an executable or a library
 * @fd:  borrowed, only its headers and notes are read
 * @ret: lower-case hex
 *
 * Return: 0, or -ENODATA when it is no 64-bit ELF file or has none, which is no failure that
 * upatch_ctx_error() would tell about.
 */
int upatch_file_build_id(int fd, char ret[UPATCH_BUILD_ID_MAX]);

/* --- targets ----------------------------------------------------------------------------------- */

/**
 * upatch_target_open() - take hold of a process, by PID
 *
 * Binds to this very process (a pidfd and its start time): when the PID is reused later calls
 * fail with UPATCH_E_GONE. Does not stop or change it.
 */
int upatch_target_open(struct upatch_ctx *ctx, pid_t pid, struct upatch_target **ret);
void upatch_target_close(struct upatch_target *target);

enum upatch_flags {
	UPATCH_NO_WAIT = 1,	/* begin, and leave the transition open when threads lag behind */
	UPATCH_SCAN_MEMORY = 2, /* functions suspended on stacks of no thread count, too */
};

struct upatch_options {
	size_t size;		 /* sizeof(struct upatch_options) */
	unsigned int flags;	 /* enum upatch_flags */
	unsigned int timeout_ms; /* how long to wait for threads to leave; 0: as UPATCH_NO_WAIT */
};

/* What an operation cost the target. All times in nanoseconds. */
struct upatch_cost {
	uint64_t longest_pause; /* of any thread, from its stop to its resumption */
	uint64_t wall;		/* of the whole operation, mostly with the target running */
	unsigned int stops;	/* of all threads */
	unsigned int threads;	/* in the last stop */
};

/*
 * Outcomes. After UPATCH_PENDING the transition is open, every thread runs either the old version or
 * the new one, and upatch_ctx_error() tells about a thread that holds it: UPATCH_E_IN_FUNCTION or
 * UPATCH_E_UNRELIABLE, with thread, function and backtrace.
 */
enum upatch_outcome {
	UPATCH_DONE = 0,
	UPATCH_PENDING = 1,
};

/**
 * upatch_outcome_name() - "done", "pending", "refused", or "nothing" there to do it to
 * @outcome: an enum upatch_outcome, or -errno
 * @status: of the error's reason, where there is one
 */
const char *upatch_outcome_name(int outcome, enum upatch_exit status);

/**
 * upatch_target_apply() - enable a patch in a target
 * @opts: or NULL for the defaults (wait 10 s)
 * @cost: or NULL
 *
 * A failure leaves the target byte for byte as it was. When threads are inside functions that change,
 * all others switch at once, and those switch one by one as they leave, until the time-out. While the
 * patch is being disabled this reverses that. A patch that is being enabled is waited for.
 *
 * Return: UPATCH_DONE, UPATCH_PENDING, or -errno: UPATCH_E_BUSY when the transition of another patch
 * is open, UPATCH_E_EXISTS, ...
 */
int upatch_target_apply(struct upatch_target *target, struct upatch_patch *patch,
			const struct upatch_options *opts, struct upatch_cost *cost);

/**
 * upatch_target_revert() - disable the patch of that name; otherwise as upatch_target_apply()
 * While it is being enabled this reverses that.
 */
int upatch_target_revert(struct upatch_target *target, const char *name,
			 const struct upatch_options *opts, struct upatch_cost *cost);

/* --- transitions --------------------------------------------------------------------------- */

struct upatch_frame {
	uint64_t pc;
	const char *function; /* or NULL */
	uint64_t offset;      /* in the function */
	const char *object;   /* or NULL */
};

struct upatch_thread {
	pid_t tid;
	const char *comm;
	int state;		   /* klp's patch_state: -1 no transition, 0 unpatched, 1 patched */
	struct upatch_error error; /* what holds it: UPATCH_E_IN_FUNCTION, UPATCH_E_UNRELIABLE */
	const struct upatch_frame *frames;
	size_t nr_frames;
};

/** upatch_thread_state_name() - "no transition", "unpatched", "patched" */
const char *upatch_thread_state_name(int state);

struct upatch_threads {
	pid_t pid;
	const char *patch; /* whose transition is, or was, open; NULL: none */
	const struct upatch_thread *threads;
	size_t nr_threads;
};

/**
 * upatch_target_threads() - all threads with their stacks, and which version they run
 * Stops the target once.
 * Return: 0 with @ret, or -errno.
 */
int upatch_target_threads(struct upatch_target *target, struct upatch_threads **ret);
void upatch_threads_free(struct upatch_threads *threads);

/**
 * upatch_target_wait() - carry on with the open transition, whoever began it
 * Return: UPATCH_DONE, also when none is open, UPATCH_PENDING, or -errno.
 */
int upatch_target_wait(struct upatch_target *target, const struct upatch_options *opts,
		       struct upatch_cost *cost);

/**
 * upatch_target_force() - switch the threads that hold the open transition, wherever they are
 * @ret: or NULL; the threads that were forced, with their stacks at that moment
 *
 * They may run old code together with new until they leave it. What may no longer be unmapped is
 * marked: when disabling, that patch; when enabling a replace patch, all others.
 *
 * Return: UPATCH_DONE, or -errno: UPATCH_E_NO_TRANSITION when none is open.
 */
int upatch_target_force(struct upatch_target *target, struct upatch_threads **ret,
			struct upatch_cost *cost);

/* What became of the patches that were kept. */
struct upatch_gc {
	unsigned int freed;
	unsigned int kept;
};

/**
 * upatch_target_gc() - unmap disabled patches that nothing refers to any more
 * Return: 0 with @ret, whatever was freed, or -errno.
 */
int upatch_target_gc(struct upatch_target *target, struct upatch_gc *ret);

/* --- check: what apply would do ------------------------------------------------------------- */

/*
 * @state: "loaded"; "waiting": it is not, and gets its part when it comes, before its constructors run;
 *	   "not-needed": another build of it is loaded, for which the patch has a part as well;
 *	   "absent": it is not loaded, and nothing would wait for it
 */
struct upatch_check_object {
	const char *name;
	const char *build_id;
	const char *state;
	bool is_exclusive;	   /* waiting: another build of it that comes is not let in */
	struct upatch_error error; /* why it cannot be patched, or be waited for */
};

struct upatch_check_func {
	const char *object;
	const char *function;
	const char *state; /* of its object */
	uint64_t addr;	   /* in the target; 0 when its object is not loaded */
	bool is_patched;   /* another patch's replacement runs now */
	struct upatch_error error;
};

struct upatch_check {
	pid_t pid;
	const char *patch;
	bool applicable;
	bool is_enabled; /* it has the patch already, which the error says as well */
	/* of the whole, or the first of an object, when no function is to blame */
	struct upatch_error error;
	const struct upatch_check_object *objects;
	size_t nr_objects;
	const struct upatch_check_func *funcs;
	size_t nr_funcs;
	/* threads that are inside a function now; apply would have to wait for them */
	const struct upatch_thread *threads;
	size_t nr_threads;
};

/**
 * upatch_target_check() - find out what apply would meet, changing nothing
 * Stops the target once, as briefly as apply does.
 * Return: 0 with @ret, whether or not the patch is applicable, or -errno.
 */
int upatch_target_check(struct upatch_target *target, struct upatch_patch *patch,
			struct upatch_check **ret);
void upatch_check_free(struct upatch_check *check);

/* --- status --------------------------------------------------------------------------------- */

struct upatch_status_func {
	const char *name;
	uint64_t old_addr; /* in the target */
	uint64_t new_addr;
	bool is_winner; /* this replacement is the one that runs */
};

struct upatch_status_object {
	const char *name;
	const char *build_id;
	uint64_t payload_addr; /* in the target */
	uint64_t payload_size;
	const struct upatch_status_func *funcs;
	size_t nr_funcs;
	/*
	 * "patched"; of a library that is not loaded: "waiting", "refused" (the last time it came),
	 * "not-needed" (it came in a build that the patch is not for)
	 */
	const char *state;
	const char *reason; /* refused: why; else NULL */
	int64_t when;	    /* refused, not-needed: CLOCK_REALTIME, seconds; else 0 */
};

struct upatch_status_patch {
	const char *name;
	const char *version;
	const char *state;    /* "enabling", "enabled", "disabling", "interrupted", "kept" */
	const char *reason;   /* kept: why; else NULL */
	bool replace;	      /* it superseded all others */
	bool forced;	      /* threads were forced: it is never unmapped */
	const pid_t *blocked; /* enabling, disabling: threads that have not switched */
	size_t nr_blocked;
	uint64_t seq;	     /* order of enabling, from 1 */
	uint64_t enabled_at; /* CLOCK_REALTIME, seconds */
	const struct upatch_status_object *objects;
	size_t nr_objects;
	uint32_t digest; /* as upatch_patch_info.digest; 0: not known */
};

struct upatch_status {
	pid_t pid;
	const char *comm;
	const char *exe;
	const struct upatch_status_patch *patches; /* oldest first */
	size_t nr_patches;
};

/** upatch_target_status() - read the record in the target, without stopping it */
int upatch_target_status(struct upatch_target *target, struct upatch_status **ret);
void upatch_status_free(struct upatch_status *status);

/* --- build ------------------------------------------------------------------------------------- */

struct upatch_build_options {
	size_t size;		     /* sizeof(struct upatch_build_options) */
	const char *output;	     /* path of the .upatch file */
	const char *name;	     /* of the patch; NULL: the output's name without suffix */
	const char *version;	     /* or NULL */
	const char *description;     /* or NULL */
	const char *const *cves;     /* NULL-terminated, or NULL */
	const char *const *sources;  /* NULL-terminated */
	const char *const *objects;  /* NULL-terminated, "NAME=PATH", or NULL */
	const char *const *cflags;   /* NULL-terminated, added last, or NULL */
	const char *compiler;	     /* NULL: $CC or cc */
	bool replace;		     /* the patch supersedes all others */
	bool strict;		     /* newer patches of its functions must be reverted first */
	const char *const *required; /* NULL-terminated, libraries of which no other build may be
					loaded, or NULL */
	const char *const *kernel_modules; /* NULL-terminated paths of klp modules, or NULL */
	bool userspace_first;		   /* the processes go before the kernel */
};

/**
 * upatch_build() - compile replacements into a .upatch file
 *
 * Refuses what can be known now: with an object file given, that every function exists, is the
 * only one of its name (or its sympos fits), is long enough and can be entered.
 */
int upatch_build(struct upatch_ctx *ctx, const struct upatch_build_options *opts);

#ifdef __cplusplus
}
#endif

#endif
