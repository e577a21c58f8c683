/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_manager.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <upatch/bus.h>
#include <upatch/upatch.h>

#include "bus.h"
#include "bus_error.h"
#include "bus_report.h"
#include "cleanup.h"
#include "manager.h"

/* --- arguments ------------------------------------------------------------------------------- */

enum {
	DEFAULT_TIMEOUT_MS = 10000,
	TIMEOUT_MAX_MS = 3600000,
	TEXT_MAX = 4096, /* of a string; calls are counted, so what they take is bounded, too */
	CONDITIONS_MAX = 256,
};

/*
 * Options that methods take as a{sv}; each method says which of them it knows. Those that know none yet
 * take them, too: a signature cannot be changed when there are clients.
 */
enum option {
	NO_OPTIONS = 0,
	OPTION_TIMEOUT = 1,
	OPTION_NO_WAIT = 2,
	OPTION_SCAN_MEMORY = 4,
	OPTION_BACKTRACE = 8,
	OPTION_NO_KERNEL = 16,
};

static const struct {
	const char *name;
	enum option option;
	const char *type;
} options_known[] = {
	{ "timeout-ms", OPTION_TIMEOUT, "u" },	    { "no-wait", OPTION_NO_WAIT, "b" },
	{ "scan-memory", OPTION_SCAN_MEMORY, "b" }, { "backtrace", OPTION_BACKTRACE, "b" },
	{ "no-kernel", OPTION_NO_KERNEL, "b" },
};

struct options {
	unsigned int given; /* of enum option */
	unsigned int set;   /* those that are not off */
	unsigned int timeout_ms;
};

static int check_text(const char *what, const char *text, struct failure *f)
{
	if (strlen(text) <= TEXT_MAX)
		return 0;
	return bus_error_raise(f, UPATCH_E_USAGE, 0, "%s has %zu bytes, more than %d", what,
			       strlen(text), TEXT_MAX);
}

static int read_text(sd_bus_message *m, const char *what, const char **ret, struct failure *f)
{
	int r;

	r = sd_bus_message_read(m, "s", ret);
	return r < 0 ? r : check_text(what, *ret, f);
}

static int read_file(sd_bus_message *m, int *ret_fd, const char **ret_label, struct failure *f)
{
	int r;

	r = sd_bus_message_read(m, "h", ret_fd);
	return r < 0 ? r : read_text(m, "the label", ret_label, f);
}

static int take_option(struct options *ret, size_t index, uint32_t value, struct failure *f)
{
	if (options_known[index].option == OPTION_TIMEOUT) {
		if (value > TIMEOUT_MAX_MS)
			return bus_error_raise(f, UPATCH_E_USAGE, 0,
					       "option 'timeout-ms': %u is more than %u", value,
					       TIMEOUT_MAX_MS);
		ret->timeout_ms = value;
	}
	if (value || options_known[index].option == OPTION_TIMEOUT)
		ret->set |= options_known[index].option;
	return 0;
}

static int read_option(sd_bus_message *m, unsigned int known, struct options *ret,
		       struct failure *f)
{
	const char *name, *type;
	uint32_t value = 0;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r >= 0)
		r = sd_bus_message_peek_type(m, NULL, &type);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(options_known) / sizeof(options_known[0]); i++) {
		if (strcmp(options_known[i].name, name) != 0 || !(known & options_known[i].option))
			continue;
		if (ret->given & options_known[i].option)
			return bus_error_raise(f, UPATCH_E_USAGE, 0, "option '%s' is given twice",
					       name);
		ret->given |= options_known[i].option;
		if (strcmp(type, options_known[i].type) != 0)
			return bus_error_raise(f, UPATCH_E_USAGE, 0,
					       "option '%s' has type '%s', not '%s'", name, type,
					       options_known[i].type);
		r = sd_bus_message_read(m, "v", type, &value);
		return r < 0 ? r : take_option(ret, i, value, f);
	}
	return bus_error_raise(f, UPATCH_E_USAGE, 0, "%s has no option '%s'",
			       sd_bus_message_get_member(m), name);
}

static int read_options(sd_bus_message *m, unsigned int known, struct options *ret,
			struct failure *f)
{
	int r;

	*ret = (struct options){ .timeout_ms = DEFAULT_TIMEOUT_MS };
	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_option(m, known, ret, f);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : 0;
}

static int read_pid(sd_bus_message *m, pid_t *ret, struct failure *f)
{
	uint32_t pid;
	int r;

	r = sd_bus_message_read(m, "u", &pid);
	if (r < 0)
		return r;
	if (pid == 0 || pid > INT32_MAX)
		return bus_error_raise(f, UPATCH_E_USAGE, 0, "%u is no PID", pid);
	*ret = (pid_t)pid;
	return 0;
}

static unsigned int library_flags(const struct options *options)
{
	return (options->set & OPTION_NO_WAIT ? UPATCH_NO_WAIT : 0u) |
	       (options->set & OPTION_SCAN_MEMORY ? UPATCH_SCAN_MEMORY : 0u);
}

/* --- verbs that change a target -------------------------------------------------------------- */

enum {
	CHANGE_OPTIONS = OPTION_TIMEOUT | OPTION_NO_WAIT | OPTION_SCAN_MEMORY,
};

static int change(sd_bus_message *m, struct bus_link *link, struct manager_request *change,
		  unsigned int known, struct failure *f)
{
	struct bus_request request = {
		.right = BUS_RIGHT_TARGET,
		.pid = change->pid,
		.patch_fd = change->patch_fd,
		.change = change,
	};
	struct options options;
	int r;

	r = read_options(m, known, &options, f);
	if (r < 0)
		return r;
	change->flags = library_flags(&options);
	change->timeout_ms = options.timeout_ms;
	request.timeout_ms = options.timeout_ms;
	return bus_call_begin(link, m, &request, f);
}

static int call_apply(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct manager_request request = { .verb = MANAGER_APPLY };
	int r;

	r = read_pid(m, &request.pid, f);
	if (r >= 0)
		r = read_file(m, &request.patch_fd, &request.label, f);
	return r < 0 ? r : change(m, link, &request, CHANGE_OPTIONS, f);
}

static int call_revert(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct manager_request request = { .verb = MANAGER_REVERT, .patch_fd = -1 };
	int r;

	r = read_pid(m, &request.pid, f);
	if (r >= 0)
		r = read_text(m, "the name", &request.name, f);
	return r < 0 ? r : change(m, link, &request, CHANGE_OPTIONS, f);
}

static int call_wait(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct manager_request request = { .verb = MANAGER_WAIT, .patch_fd = -1 };
	int r;

	r = read_pid(m, &request.pid, f);
	return r < 0 ? r : change(m, link, &request, CHANGE_OPTIONS, f);
}

static int call_force(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct manager_request request = { .verb = MANAGER_FORCE, .patch_fd = -1 };
	int r;

	r = read_pid(m, &request.pid, f);
	return r < 0 ? r : change(m, link, &request, NO_OPTIONS, f);
}

static int call_gc(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct manager_request request = { .verb = MANAGER_GC, .patch_fd = -1 };
	int r;

	r = read_pid(m, &request.pid, f);
	return r < 0 ? r : change(m, link, &request, NO_OPTIONS, f);
}

/* --- verbs that look at a target ------------------------------------------------------------- */

static int look(sd_bus_message *m, struct bus_link *link, struct bus_request *request,
		struct failure *f)
{
	request->right = BUS_RIGHT_TARGET;
	request->timeout_ms = BUS_CALL_GRACE_MS;
	return bus_call_begin(link, m, request, f);
}

static int call_check(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	static const char *const args[] = { BUS_CALL_PATCH, NULL };
	static const char *const without_kernel[] = { "--no-kernel", BUS_CALL_PATCH, NULL };
	struct bus_request request = { .verb = "check", .args = args };
	struct options options;
	const char *label;
	int r;

	r = read_pid(m, &request.pid, f);
	if (r >= 0)
		r = read_file(m, &request.patch_fd, &label, f);
	if (r >= 0)
		r = read_options(m, OPTION_NO_KERNEL, &options, f);
	if (r < 0)
		return r;
	if (options.set & OPTION_NO_KERNEL)
		request.args = without_kernel;
	return look(m, link, &request, f);
}

static int call_threads(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	static const char *const args[] = { "--backtrace", NULL };
	struct bus_request request = { .verb = "threads", .patch_fd = -1 };
	struct options options;
	int r;

	r = read_pid(m, &request.pid, f);
	if (r >= 0)
		r = read_options(m, OPTION_BACKTRACE, &options, f);
	if (r < 0)
		return r;
	if (options.set & OPTION_BACKTRACE)
		request.args = args;
	return look(m, link, &request, f);
}

static int call_status(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct bus_request request = { .verb = "status", .patch_fd = -1 };
	struct options options;
	int r;

	r = read_pid(m, &request.pid, f);
	if (r >= 0)
		r = read_options(m, NO_OPTIONS, &options, f);
	return r < 0 ? r : look(m, link, &request, f);
}

/* --- the host -------------------------------------------------------------------------------- */

/* Answers at once, in the turn of whoever asked. */
static int begin_host(sd_bus_message *m, struct bus_link *link, enum bus_right right,
		      bus_run_fn run, struct failure *f)
{
	struct bus_request request = { .right = right, .patch_fd = -1, .run = run };

	return bus_call_begin(link, m, &request, f);
}

static int read_rule(sd_bus_message *m, struct rule *rule, struct failure *f)
{
	const char *key, *value;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "(ss)");
	while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &key, &value)) > 0)
		r = rule_add(rule, key, value, f);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int enable(struct bus *bus, sd_bus_message *m, struct failure *f, const char **ret)
{
	_cleanup_(rule_deinit) struct rule rule = {};
	struct options options;
	const char *label;
	int fd;
	int r;

	r = sd_bus_message_rewind(m, 1);
	if (r >= 0)
		r = read_file(m, &fd, &label, f);
	if (r >= 0)
		r = read_rule(m, &rule, f);
	if (r >= 0)
		r = read_options(m, NO_OPTIONS, &options, f);
	if (r >= 0)
		r = bus_call_check_file(fd, f);
	if (r >= 0)
		r = manager_enable(bus->manager, fd, label, &rule, f, ret);
	return r;
}

static int reply_state(sd_bus_message *m, const char *name, const char *state, const char *warning)
{
	_cleanup_free_ char *text = bus_report_state(name, state, warning);

	return text ? sd_bus_reply_method_return(m, "s", text) : -ENOMEM;
}

static bool has_kernel_side(struct manager *manager, const char *name)
{
	const struct manager_patch *patches;
	size_t nr = manager_list(manager, &patches);

	for (size_t i = 0; i < nr; i++)
		if (strcmp(patches[i].name, name) == 0)
			return patches[i].info && patches[i].info->nr_modules;
	return false;
}

static int run_enable(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	const char *name;
	int r;

	r = enable(link->bus, m, f, &name);
	if (r < 0)
		return r;
	return reply_state(m, name, "enabled",
			   has_kernel_side(link->bus->manager, name)
				   ? "the patch has a kernel's side, which is left alone: see "
				     "upatchctl kernel apply"
				   : NULL);
}

static int run_disable(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	struct options options;
	const char *name;
	int r;

	r = sd_bus_message_rewind(m, 1);
	if (r >= 0)
		r = read_text(m, "the name", &name, f);
	if (r >= 0)
		r = read_options(m, NO_OPTIONS, &options, f);
	if (r < 0)
		return r;
	r = manager_disable(link->bus->manager, name, f);
	if (r < 0)
		return r;
	return reply_state(m, name, "disabled", NULL);
}

static int run_list(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	_cleanup_free_ char *text = bus_report_list(link->bus->manager);

	return text ? sd_bus_reply_method_return(m, "s", text) : -ENOMEM;
}

/* Of a large host it is megabytes: a client gets the next when it has read the last. */
static int run_host_status(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	const char *text;
	uint64_t nr = 0;
	int r;

	if (link->is_private && link->has_host_report &&
	    sd_bus_get_n_queued_write(link->connection, &nr) >= 0 && nr > 0)
		return bus_error_raise(f, UPATCH_E_LIMIT, 0,
				       "process %d of user %u has not read the status that it was "
				       "given before",
				       (int)link->pid, link->uid);
	r = bus_host_report(link->bus, f, &text);
	if (r < 0)
		return r;
	link->has_host_report = true;
	return sd_bus_reply_method_return(m, "s", text);
}

static int run_reload(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	int r;

	r = manager_reload(link->bus->manager, f);
	if (r < 0)
		return r;
	return reply_state(m, NULL, NULL, NULL);
}

/* Its conditions are understood when it is known that the caller may give any. */
static int check_enable(sd_bus_message *m, struct failure *f)
{
	const char *label, *key, *value;
	size_t nr = 0;
	int fd;
	int r;

	r = read_file(m, &fd, &label, f);
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "(ss)");
	while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &key, &value)) > 0) {
		r = check_text("a condition's key", key, f);
		if (r >= 0)
			r = check_text("a condition", value, f);
		if (r >= 0 && ++nr > CONDITIONS_MAX)
			r = bus_error_raise(f, UPATCH_E_USAGE, 0,
					    "there are more than %d conditions", CONDITIONS_MAX);
	}
	return r;
}

static int check_disable(sd_bus_message *m, struct failure *f)
{
	const char *name;

	return read_text(m, "the name", &name, f);
}

static int call_enable(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	int r;

	r = check_enable(m, f);
	if (r < 0)
		return r;
	return begin_host(m, link, BUS_RIGHT_HOST, run_enable, f);
}

static int call_disable(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	int r;

	r = check_disable(m, f);
	if (r < 0)
		return r;
	return begin_host(m, link, BUS_RIGHT_HOST, run_disable, f);
}

static int call_reload(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	return begin_host(m, link, BUS_RIGHT_HOST, run_reload, f);
}

static int call_list(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	return begin_host(m, link, BUS_RIGHT_LOOK, run_list, f);
}

static int call_host_status(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	return begin_host(m, link, BUS_RIGHT_LOOK, run_host_status, f);
}

static int call_subscribe(sd_bus_message *m, struct bus_link *link, struct failure *f)
{
	link->is_listening = true;
	return reply_state(m, NULL, NULL, NULL);
}

/* --- properties ------------------------------------------------------------------------------ */

static int get_version(sd_bus *connection, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply, void *userdata,
		       sd_bus_error *error)
{
	return sd_bus_message_append(reply, "s", upatch_version());
}

static int get_counts(sd_bus *connection, const char *path, const char *interface,
		      const char *property, sd_bus_message *reply, void *userdata,
		      sd_bus_error *error)
{
	struct bus_link *link = userdata;
	const struct bus_summary *summary = bus_summary(link->bus);
	int r;

	r = sd_bus_message_open_container(reply, 'a', "{su}");
	for (int i = 0; r >= 0 && i < STATUS_STATES; i++)
		r = sd_bus_message_append(reply, "{su}", status_state_name((enum status_state)i),
					  (uint32_t)summary->counts.by_state[i]);
	if (r >= 0)
		r = sd_bus_message_append(reply, "{su}", "total", (uint32_t)summary->counts.total);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_processes(sd_bus *connection, const char *path, const char *interface,
			 const char *property, sd_bus_message *reply, void *userdata,
			 sd_bus_error *error)
{
	struct bus_link *link = userdata;

	return sd_bus_message_append(reply, "u", (uint32_t)bus_summary(link->bus)->nr_processes);
}

static int get_problems(sd_bus *connection, const char *path, const char *interface,
			const char *property, sd_bus_message *reply, void *userdata,
			sd_bus_error *error)
{
	struct bus_link *link = userdata;

	return sd_bus_message_append(reply, "u", (uint32_t)bus_summary(link->bus)->nr_problems);
}

static int get_settled(sd_bus *connection, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply, void *userdata,
		       sd_bus_error *error)
{
	struct bus_link *link = userdata;

	return sd_bus_message_append(reply, "b", (int)bus_summary(link->bus)->is_settled);
}

static int get_patches(sd_bus *connection, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply, void *userdata,
		       sd_bus_error *error)
{
	struct bus_link *link = userdata;
	const struct manager_patch *patches;
	size_t nr = manager_list(link->bus->manager, &patches);
	int r;

	r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < nr; i++)
		if (patches[i].is_enabled)
			r = sd_bus_message_append(reply, "s", patches[i].name);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* --- the object ------------------------------------------------------------------------------ */

static const struct {
	const char *member;
	int (*call)(sd_bus_message *m, struct bus_link *link, struct failure *f);
} methods[] = {
	{ "Apply", call_apply },
	{ "Check", call_check },
	{ "DisablePatch", call_disable },
	{ "EnablePatch", call_enable },
	{ "Force", call_force },
	{ "Gc", call_gc },
	{ "HostStatus", call_host_status },
	{ "ListPatches", call_list },
	{ "Reload", call_reload },
	{ "Revert", call_revert },
	{ "Status", call_status },
	{ "Subscribe", call_subscribe },
	{ "Threads", call_threads },
	{ "Wait", call_wait },
};

/* Errors that sd-bus finds, such as arguments that are none, are answered by it. */
static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(failure_clear) struct failure f = {};
	int r = -ENOSYS;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].member, sd_bus_message_get_member(m)) == 0)
			r = methods[i].call(m, userdata, &f);
	if (r < 0 && f.error.message)
		return bus_error_answer(m, &f.error);
	return r;
}

/* The names of no arguments. */
#define NONE

#define METHOD(name, in, in_names, out, out_names)                                                 \
	SD_BUS_METHOD_WITH_NAMES(name, in, in_names, out, out_names, on_method,                    \
				 SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("EnablePatch", "hsa(ss)a{sv}",
	       SD_BUS_PARAM(patch) SD_BUS_PARAM(label) SD_BUS_PARAM(conditions)
		       SD_BUS_PARAM(options),
	       "s", SD_BUS_PARAM(report)),
	METHOD("DisablePatch", "sa{sv}", SD_BUS_PARAM(name) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("ListPatches", "", NONE, "s", SD_BUS_PARAM(report)),
	METHOD("HostStatus", "", NONE, "s", SD_BUS_PARAM(report)),
	METHOD("Reload", "", NONE, "s", SD_BUS_PARAM(report)),
	METHOD("Subscribe", "", NONE, "s", SD_BUS_PARAM(report)),
	METHOD("Apply", "uhsa{sv}",
	       SD_BUS_PARAM(pid) SD_BUS_PARAM(patch) SD_BUS_PARAM(label) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Revert", "usa{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(name) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Wait", "ua{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Force", "ua{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Gc", "ua{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(options), "s", SD_BUS_PARAM(report)),
	METHOD("Check", "uhsa{sv}",
	       SD_BUS_PARAM(pid) SD_BUS_PARAM(patch) SD_BUS_PARAM(label) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Threads", "ua{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	METHOD("Status", "ua{sv}", SD_BUS_PARAM(pid) SD_BUS_PARAM(options), "s",
	       SD_BUS_PARAM(report)),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Patches", "as", get_patches, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Counts", "a{su}", get_counts, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Processes", "u", get_processes, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Problems", "u", get_problems, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Settled", "b", get_settled, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_SIGNAL_WITH_NAMES("EntryChanged", "usssss",
				 SD_BUS_PARAM(pid) SD_BUS_PARAM(comm) SD_BUS_PARAM(patch)
					 SD_BUS_PARAM(state) SD_BUS_PARAM(reason)
						 SD_BUS_PARAM(message),
				 0),
	SD_BUS_SIGNAL_WITH_NAMES("PatchesChanged", "s", SD_BUS_PARAM(patch), 0),
	SD_BUS_SIGNAL("ProblemsChanged", NULL, 0),
	SD_BUS_SIGNAL("Settled", NULL, 0),
	SD_BUS_VTABLE_END,
};

int bus_manager_serve(struct bus_link *link)
{
	return sd_bus_add_object_vtable(link->connection, NULL, UPATCH_BUS_PATH,
					UPATCH_BUS_INTERFACE, manager_vtable, link);
}

int bus_manager_signal(struct bus_link *link, const struct manager_event *event)
{
	const struct upatch_error *error = event->error;
	const char *state = event->state == STATUS_STATES ? "gone"
							  : status_state_name(event->state);

	switch (event->kind) {
	case MANAGER_EVENT_ENTRY:
		return sd_bus_emit_signal(link->connection, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
					  "EntryChanged", "usssss", (uint32_t)event->pid,
					  event->comm ?: "", event->patch ?: "", state,
					  error ? upatch_reason_name(error->reason) : "",
					  error && error->message ? error->message : "");
	case MANAGER_EVENT_PATCHES:
		return sd_bus_emit_signal(link->connection, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
					  "PatchesChanged", "s", event->patch ?: "");
	case MANAGER_EVENT_PROBLEM:
		return sd_bus_emit_signal(link->connection, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
					  "ProblemsChanged", NULL);
	case MANAGER_EVENT_SETTLED:
		return sd_bus_emit_signal(link->connection, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
					  "Settled", NULL);
	case MANAGER_EVENT_COUNTS:
		break; /* PropertiesChanged tells it */
	}
	return 0;
}

int bus_manager_signal_counts(struct bus_link *link)
{
	return sd_bus_emit_properties_changed(link->connection, UPATCH_BUS_PATH,
					      UPATCH_BUS_INTERFACE, "Patches", "Counts",
					      "Processes", "Problems", "Settled", NULL);
}
