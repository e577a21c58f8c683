/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_ERROR_H
#define UPATCH_ERROR_H

/*
 * Why something was refused.
 *
 * This one list feeds the message text, the JSON field "reason", the D-Bus error name and the
 * exit status of upatchctl, so that a reason is the same thing everywhere. To add one, add a line
 * here; names are stable once released.
 *
 * X(identifier, "name", exit status, "what to do next")
 */

#include <sys/types.h>

/* Exit statuses of upatchctl. */
enum upatch_exit {
	UPATCH_EXIT_DONE = 0,	 /* done */
	UPATCH_EXIT_REFUSED = 1, /* refused or failed, the target is as it was */
	UPATCH_EXIT_USAGE = 2,	 /* wrong command line */
	UPATCH_EXIT_PENDING = 3, /* the transition is open, or could not begin by the deadline */
	UPATCH_EXIT_NOTHING = 4, /* nothing matched */
};

/* clang-format off */
#define UPATCH_REASONS(X) \
	X(NONE,            "none",             UPATCH_EXIT_DONE,    "") \
	/* the caller and the machine */ \
	X(USAGE,           "usage",            UPATCH_EXIT_USAGE,   "see upatchctl --help, and upatchctl VERB --help") \
	X(NO_MEMORY,       "no-memory",        UPATCH_EXIT_REFUSED, "free memory and try again") \
	X(IO,              "io",               UPATCH_EXIT_REFUSED, "check the file or device named above") \
	X(CONFIG,          "config",           UPATCH_EXIT_REFUSED, "correct the file named above, then reload upatchd") \
	X(UNSUPPORTED,     "unsupported",      UPATCH_EXIT_REFUSED, "see the limits in upatch(7)") \
	X(INTERNAL,        "internal",         UPATCH_EXIT_REFUSED, "report this with the output of --verbose") \
	X(NO_DAEMON,       "no-daemon",        UPATCH_EXIT_REFUSED, "start upatchd, see upatchd(8)") \
	X(DENIED,          "denied",           UPATCH_EXIT_REFUSED, "ask root, or act on your own processes") \
	X(LIMIT,           "limit",            UPATCH_EXIT_REFUSED, "wait for the answers to what was asked already") \
	X(DEADLINE,        "deadline",         UPATCH_EXIT_REFUSED, "see upatchctl status: what was begun is carried on with, or undone, by the next call") \
	/* ELF and patch files */ \
	X(NOT_ELF,         "not-elf",          UPATCH_EXIT_REFUSED, "give the path of an ELF file: of a program or library, or a patch file that upatchctl build wrote") \
	X(BAD_ELF,         "bad-elf",          UPATCH_EXIT_REFUSED, "the file is damaged: install it again") \
	X(BAD_PATCHFILE,   "bad-patchfile",    UPATCH_EXIT_REFUSED, "give a file that upatchctl build wrote; if it is one, build it again") \
	X(PATCHFILE_VERSION, "patchfile-version", UPATCH_EXIT_REFUSED, "build the patch file with this version of upatchctl") \
	X(ARCHITECTURE,    "architecture",     UPATCH_EXIT_REFUSED, "build the patch for the target's architecture") \
	X(COMPILER,        "compiler",         UPATCH_EXIT_REFUSED, "mend what the compiler complains about") \
	X(NO_FUNCS,        "no-funcs",         UPATCH_EXIT_REFUSED, "declare UPATCH_OBJECT() and UPATCH_FUNC() in the source") \
	/* what the patch asks of the target */ \
	X(BUILD_ID,        "build-id",         UPATCH_EXIT_REFUSED, "build the patch for the object that the target has mapped") \
	X(NO_OBJECT,       "no-object",        UPATCH_EXIT_NOTHING, "check that it is the right process: the object is not loaded there") \
	X(NO_FUNCTION,     "no-function",      UPATCH_EXIT_REFUSED, "check the name; install the debug symbols of a stripped object, or give --object the unstripped file; where the function was inlined, patch its callers") \
	X(AMBIGUOUS,       "ambiguous",        UPATCH_EXIT_REFUSED, "say which one with sympos") \
	X(SYMPOS,          "sympos",           UPATCH_EXIT_REFUSED, "use a sympos between 1 and the number of symbols of that name") \
	X(FUNCTION_SIZE,   "function-size",    UPATCH_EXIT_REFUSED, "build the patch against the object that the target has mapped") \
	X(BYTES_DIFFER,    "bytes-differ",     UPATCH_EXIT_REFUSED, "remove the breakpoint, uprobe or foreign hook at the function's entry") \
	X(TOO_SHORT,       "too-short",        UPATCH_EXIT_REFUSED, "patch the function's callers instead") \
	X(BRANCH_IN_ENTRY, "branch-in-entry",  UPATCH_EXIT_REFUSED, "patch the function's callers instead") \
	X(ENTRY_CODE,      "entry-code",       UPATCH_EXIT_REFUSED, "patch the function's callers instead") \
	X(IS_IFUNC,        "is-ifunc",         UPATCH_EXIT_REFUSED, "patch the implementation that the IFUNC resolver chose") \
	X(RELOC_RANGE,     "reloc-range",      UPATCH_EXIT_REFUSED, "build the payload with -fPIC") \
	X(RELOC_TYPE,      "reloc-type",       UPATCH_EXIT_REFUSED, "build the payload with -fPIC and the default TLS model") \
	X(UNRESOLVED,      "unresolved",       UPATCH_EXIT_REFUSED, "the target has no such symbol: load its library first or do without it") \
	X(TLS_SYMBOL,      "tls-symbol",       UPATCH_EXIT_REFUSED, "use thread-local variables that the target already has") \
	X(NO_ROOM,         "no-room",          UPATCH_EXIT_REFUSED, "the address space near the object is full: restart the target") \
	/* the target */ \
	X(NO_PROCESS,      "no-process",       UPATCH_EXIT_NOTHING, "check the PID") \
	X(GONE,            "gone",             UPATCH_EXIT_NOTHING, "find the process that took its place") \
	X(KERNEL_THREAD,   "kernel-thread",    UPATCH_EXIT_REFUSED, "kernel threads are patched by klp modules") \
	X(ZOMBIE,          "zombie",           UPATCH_EXIT_NOTHING, "there is nothing to patch: the process has exited, and waits for its parent") \
	X(PERMISSION,      "permission",       UPATCH_EXIT_REFUSED, "run as root, with CAP_SYS_PTRACE, or through upatchd") \
	X(TRACED,          "traced",           UPATCH_EXIT_REFUSED, "detach the tracer first") \
	X(SECCOMP,         "seccomp",          UPATCH_EXIT_REFUSED, "run with CAP_SYS_ADMIN, so that the filter can be suspended") \
	X(UNINTERRUPTIBLE, "uninterruptible",  UPATCH_EXIT_REFUSED, "the thread sleeps in the kernel: try again later") \
	X(SHADOW_STACK,    "shadow-stack",     UPATCH_EXIT_REFUSED, "start the program without a user shadow stack") \
	X(NO_SYSCALL_SITE, "no-syscall-site",  UPATCH_EXIT_REFUSED, "patch a program that maps a C library: no other code was found that could run a system call for us") \
	X(RCALL,           "rcall",            UPATCH_EXIT_REFUSED, "see the error named above, and the target's limits; it was put back") \
	X(CALLBACK,        "callback",         UPATCH_EXIT_REFUSED, "see what the patch's callback wants; upatch(7) says what it may do") \
	X(WORKER,          "worker",           UPATCH_EXIT_REFUSED, "upatchd tries again by itself; its log tells what became of the worker") \
	X(EXCLUDED,        "excluded",         UPATCH_EXIT_REFUSED, "see the exclusions of the patch and the [Exclude] sections of upatchd.conf(5)") \
	/* the record in the target */ \
	X(RECORD_CORRUPT,  "record-corrupt",   UPATCH_EXIT_REFUSED, "the target has overwritten its record: restart it") \
	X(RECORD_VERSION,  "record-version",   UPATCH_EXIT_REFUSED, "use the version of upatch that patched this target") \
	X(RECORD_FULL,     "record-full",      UPATCH_EXIT_REFUSED, "revert patches that are no longer needed") \
	/* consistency */ \
	X(EXISTS,          "exists",           UPATCH_EXIT_REFUSED, "revert it first, or build the new one with a name of its own (--name)") \
	X(NOT_APPLIED,     "not-applied",      UPATCH_EXIT_NOTHING, "see upatchctl status for the names of enabled patches") \
	X(BUSY,            "busy",             UPATCH_EXIT_REFUSED, "wait until the open transition completes (upatchctl wait), reverse it or force it") \
	X(NO_TRANSITION,   "no-transition",    UPATCH_EXIT_NOTHING, "see upatchctl status: no patch of the target is enabling or disabling") \
	X(IN_FUNCTION,     "in-function",      UPATCH_EXIT_PENDING, "wait with upatchctl wait, see upatchctl threads, switch it with upatchctl force, or revert") \
	X(UNRELIABLE,      "unreliable",       UPATCH_EXIT_PENDING, "wait with upatchctl wait, see upatchctl threads, switch it with upatchctl force, or revert") \
	X(STATE,           "state",            UPATCH_EXIT_REFUSED, "use a patch that knows the system states of the enabled ones, or revert these first") \
	X(SUSPENDED,       "suspended",        UPATCH_EXIT_PENDING, "try again when the coroutine has left the function, or without --scan-memory") \
	X(STACK_ORDER,     "stack-order",      UPATCH_EXIT_REFUSED, "revert the newer patches first") \
	/* libraries that come and go */ \
	X(NOT_FOLLOWED,    "not-followed",     UPATCH_EXIT_REFUSED, "apply the patch when the library is loaded") \
	X(LOADING,         "loading",          UPATCH_EXIT_PENDING, "a thread of the target is loading or unloading a library: try again") \
	/* the kernel's side */ \
	X(BAD_MODULE,      "bad-module",       UPATCH_EXIT_REFUSED, "give a klp module (.ko) as kbuild, kpatch-build or klp-build make them") \
	X(NO_MODULE,       "no-module",        UPATCH_EXIT_REFUSED, "build the patch file with --kernel-module for the running kernel, or give a .ko") \
	X(KERNEL_RELEASE,  "kernel-release",   UPATCH_EXIT_REFUSED, "build the klp module for the running kernel") \
	X(NO_LIVEPATCH,    "no-livepatch",     UPATCH_EXIT_REFUSED, "boot a kernel with CONFIG_LIVEPATCH=y") \
	X(LOCKDOWN,        "lockdown",         UPATCH_EXIT_REFUSED, "sign the module with a key that the kernel trusts, or boot without lockdown") \
	X(MODULE_SIGNATURE, "module-signature", UPATCH_EXIT_REFUSED, "sign the module with a key that the kernel trusts") \
	X(FTRACE_DISABLED, "ftrace-disabled",  UPATCH_EXIT_REFUSED, "set the sysctl kernel.ftrace_enabled to 1") \
	X(KERNEL_BUSY,     "kernel-busy",      UPATCH_EXIT_REFUSED, "wait until the kernel's open transition completes (upatchctl kernel status), revert or force it") \
	X(KERNEL_TASKS,    "kernel-tasks",     UPATCH_EXIT_PENDING, "see upatchctl kernel status; apply or revert again to go on, or upatchctl kernel force") \
	X(KERNEL_IN_USE,   "kernel-in-use",    UPATCH_EXIT_PENDING, "the patch is disabled; revert again to unload its module, a forced one stays until reboot") \
	X(KERNEL_REFUSED,  "kernel-refused",   UPATCH_EXIT_REFUSED, "see the kernel log (dmesg)")
/* clang-format on */

enum upatch_reason {
#define UPATCH_REASON_ENUM(id, name, status, hint) UPATCH_E_##id,
	UPATCH_REASONS(UPATCH_REASON_ENUM)
#undef UPATCH_REASON_ENUM
		UPATCH_E_COUNT,
};

/**
 * struct upatch_error - one refusal, with everything that is known about it
 * @reason:	which of the reasons above
 * @error:	negative errno that fits best
 * @pid:	target, 0 when none is concerned
 * @tid:	thread of the target, 0 when none is concerned
 * @patch:	name of the patch, or NULL
 * @object:	object, by the name the patch gives it, or NULL
 * @function:	function, or NULL
 * @message:	what happened, one line without the fields above
 * @detail:	more lines, such as a backtrace, or NULL
 *
 * Strings belong to the context and live until its next call.
 */
struct upatch_error {
	enum upatch_reason reason;
	int error;
	pid_t pid;
	pid_t tid;
	const char *patch;
	const char *object;
	const char *function;
	const char *message;
	const char *detail;
};

/**
 * upatch_reason_name() - stable name of a reason, as in JSON and D-Bus
 * @reason: any value; unknown ones give "internal"
 */
const char *upatch_reason_name(enum upatch_reason reason);

/** upatch_reason_hint() - what the user can do next, "" when there is nothing to say */
const char *upatch_reason_hint(enum upatch_reason reason);

/** upatch_reason_exit() - exit status of a program that stops for this reason */
enum upatch_exit upatch_reason_exit(enum upatch_reason reason);

#endif
