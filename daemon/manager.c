/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "manager_private.h"
#include "pool.h"

/* --- the loop's turns -------------------------------------------------------------------------- */

uint64_t manager_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void manager_wake(struct manager *m)
{
	(void)sd_event_source_set_enabled(m->defer, SD_EVENT_ONESHOT); /* it is there */
}

void manager_tell(struct manager *m, const struct manager_event *event)
{
	if (event->kind == MANAGER_EVENT_ENTRY)
		m->has_changed = true;
	if (m->fn)
		m->fn(m->userdata, event);
}

bool manager_is_settled(const struct manager *m)
{
	return TAILQ_EMPTY(&m->reads) && TAILQ_EMPTY(&m->work) && !m->reading_pid &&
	       TAILQ_EMPTY(&m->waiting) && pool_nr_busy(m->pool) == 0;
}

static bool is_anywhere(struct manager *m, const char *patch)
{
	TARGET_FOREACH(&m->targets, i, target, next)
	{
		const struct process_record *record = process_record(&target->process, patch);

		if (!target->is_known || target->is_young || target->misses)
			return true; /* it may be */
		if (record && strcmp(record->state, "kept") != 0)
			return true;
	}
	return false;
}

/* What a configuration file asks for, or NULL. */
static const struct patchset_item *drop_in_of(const struct manager *m, const char *name)
{
	int index = patchset_find(&m->patches, name);

	return index >= 0 && *m->patches.items[index].source ? &m->patches.items[index] : NULL;
}

static int rebuild(struct manager *m, struct failure *f);

/* A damaged journal stays as it is until an admin has looked at it. */
static int check_writable(const struct manager *m, struct failure *f)
{
	return m->journal_failure.error.message ? failure_copy(f, &m->journal_failure.error) : 0;
}

/* A disabled patch that is in no process any more need not be remembered. */
static void forget_disabled(struct manager *m)
{
	struct desired desired = {};
	bool is_smaller = false, has_disabled = false;

	m->is_tidy = true;
	for (size_t i = 0; i < m->desired.nr; i++)
		has_disabled |= !m->desired.patches[i].is_enabled;
	if (!has_disabled || check_writable(m, NULL) < 0)
		return;
	if (desired_copy(&m->desired, &desired) < 0)
		return;
	for (size_t i = 0; i < m->desired.nr; i++) {
		const struct desired_patch *patch = &m->desired.patches[i];

		if (patch->is_enabled || drop_in_of(m, patch->name) || is_anywhere(m, patch->name))
			continue;
		desired_remove(&desired, patch->name);
		is_smaller = true;
	}
	/* On a full disk it is remembered for longer: that harms nobody. */
	if (is_smaller && store_write_journal(&m->store, &desired, NULL) >= 0) {
		struct desired old = m->desired;

		m->desired = desired;
		desired = old;
		(void)rebuild(m, NULL); /* with less than before; else as it was */
		store_tidy(&m->store, &m->desired);
		manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_PATCHES });
	}
	desired_deinit(&desired);
}

/* What was asked for since the last turn: look, work, tell. */
static int on_defer(sd_event_source *source, void *userdata)
{
	struct manager *m = userdata;
	bool is_settled;

	scan_run(m);
	work_run(m);
	if (m->has_changed)
		manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_COUNTS });
	m->has_changed = false;
	is_settled = manager_is_settled(m);
	if (is_settled && !m->is_tidy)
		forget_disabled(m);
	if (is_settled && !m->was_settled)
		manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_SETTLED });
	m->was_settled = is_settled;
	return 0;
}

void manager_set_events(struct manager *m, manager_event_fn fn, void *userdata)
{
	m->fn = fn;
	m->userdata = userdata;
}

/* --- what is desired --------------------------------------------------------------------------- */

/* Open the patches anew. On failure those that were there stay. */
static int rebuild(struct manager *m, struct failure *f)
{
	const struct patchset_sources sources = {
		.ctx = m->ctx,
		.store = &m->store,
		.desired = &m->desired,
		.config = m->is_held ? NULL : &m->config,
	};
	struct patchset set;

	if (patchset_init(&set, &sources) < 0)
		return failure_oom(f);
	patchset_deinit(&m->patches);
	m->patches = set;
	for (size_t i = 0; i < set.nr; i++)
		if (set.public[i].error)
			log_line(LOG_ERR, "patch '%s': %s [%s]", set.items[i].name,
				 set.public[i].error->message,
				 upatch_reason_name(set.public[i].error->reason));
	return 0;
}

/* Everything is tried again: what was refused may fit now. */
static void look_again(struct manager *m)
{
	TARGET_FOREACH(&m->targets, i, target, next)
	target_forget_attempts(target);
	m->is_tidy = false;
	scan_all(m);
}

/*
 * Put @desired in force: on disk first. On failure everything is as it was.
 * @desired is taken over on success.
 */
static int commit(struct manager *m, struct desired *desired, const char *patch, struct failure *f)
{
	struct desired old = m->desired;
	int r;

	r = store_write_journal(&m->store, desired, f);
	if (r < 0)
		return r;
	m->desired = *desired;
	*desired = old;
	failure_clear(&m->journal_failure); /* a damaged one has been replaced */
	r = rebuild(m, f);
	look_again(m);
	manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_PATCHES, .patch = patch });
	return r;
}

static int open_staged(struct manager *m, const char *path, const char *label,
		       struct upatch_patch **ret, struct failure *f)
{
	const struct upatch_error *error;
	int r;

	r = upatch_patch_open(m->ctx, path, ret);
	if (r >= 0)
		return r;
	error = upatch_ctx_error(m->ctx);
	if (strstr(error->message, path)) {
		const char *at = strstr(error->message, path);

		return failure_set(f, r, error->reason, "%.*s%s%s", (int)(at - error->message),
				   error->message, label, at + strlen(path));
	}
	return failure_set(f, r, error->reason, "'%s': %s", label, error->message);
}

/* The staged file becomes the patch's; then the journal refers to it. */
static int enable_staged(struct manager *m, const char *staged, const char *name,
			 const struct rule *rule, struct failure *f)
{
	_cleanup_(desired_deinit) struct desired desired = {};
	_cleanup_(desired_patch_deinit) struct desired_patch patch = {
		.name = strdup(name),
		.is_enabled = true,
		.since = (uint64_t)time(NULL),
		.order = desired_next_order(&m->desired),
	};
	_cleanup_free_ char *file = NULL;
	int r;

	if (!patch.name || (rule && rule_copy(rule, &patch.rule) < 0) ||
	    desired_copy(&m->desired, &desired) < 0)
		return failure_oom(f);
	r = store_keep(&m->store, staged, name, patch.order, &file, f);
	if (r < 0)
		return r;
	patch.file = strdup(file);
	r = patch.file && desired_put(&desired, &patch) >= 0 ? 0 : failure_oom(f);
	if (r >= 0)
		r = commit(m, &desired, name, f);
	if (r < 0 && !desired_find(&m->desired, name))
		store_drop(&m->store, file);
	else
		store_tidy(&m->store, &m->desired);
	return r;
}

int manager_enable(struct manager *m, int fd, const char *label, const struct rule *rule,
		   struct failure *f, const char **ret_name)
{
	struct upatch_patch *patch = NULL;
	_cleanup_free_ char *staged = NULL, *name = NULL;
	int r;

	r = check_writable(m, f);
	if (r >= 0)
		r = store_stage(&m->store, fd, label, &staged, f);
	if (r < 0)
		return r;
	r = open_staged(m, staged, label, &patch, f);
	if (r >= 0) {
		name = strdup(upatch_patch_info(patch)->name);
		r = name ? 0 : failure_oom(f);
	}
	upatch_patch_close(patch);
	if (r >= 0 && drop_in_of(m, name))
		r = failure_set(f, -EEXIST, UPATCH_E_CONFIG, "patch '%s' is asked for by '%s'",
				name, drop_in_of(m, name)->source);
	if (r >= 0)
		r = enable_staged(m, staged, name, rule, f);
	(void)unlink(staged); /* when it did not become the patch's */
	if (r >= 0)
		*ret_name = m->patches.items[patchset_find(&m->patches, name)].name;
	return r;
}

int manager_disable(struct manager *m, const char *name, struct failure *f)
{
	_cleanup_(desired_deinit) struct desired desired = {};
	struct desired_patch *patch;
	int r;

	r = check_writable(m, f);
	if (r < 0)
		return r;
	if (drop_in_of(m, name))
		return failure_set(f, -EPERM, UPATCH_E_USAGE,
				   "patch '%s' is asked for by '%s': remove its section there",
				   name, drop_in_of(m, name)->source);
	if (desired_copy(&m->desired, &desired) < 0)
		return failure_oom(f);
	patch = desired_find(&desired, name);
	if (!desired_is_enabled(&desired, name))
		return failure_set(f, -ENOENT, UPATCH_E_NOT_APPLIED, "patch '%s' is not enabled",
				   name);
	patch->is_enabled = false;
	return commit(m, &desired, name, f);
}

size_t manager_list(struct manager *m, const struct manager_patch **ret)
{
	*ret = m->patches.public;
	return m->patches.nr;
}

/* --- configuration ----------------------------------------------------------------------------- */

/* In the journal, what is to be reverted: without a file, as none is needed for that. */
static int put_disabled(struct desired *desired, const char *name)
{
	struct desired_patch patch = { .name = strdup(name), .file = strdup("") };
	int r = patch.name && patch.file ? desired_put(desired, &patch) : -ENOMEM;

	if (r < 0)
		desired_patch_deinit(&patch);
	return r;
}

/*
 * A patch that a file asks for is in the journal as one to be reverted, which counts when nobody asks
 * for it any more: so the daemon knows when it starts without the file, too.
 */
static void remember_drop_ins(struct manager *m)
{
	_cleanup_(desired_deinit) struct desired desired = {};
	struct failure f = {};
	bool has_changed = false;
	int r = 0;

	if (desired_copy(&m->desired, &desired) < 0)
		return;
	for (size_t i = 0; i < m->patches.nr; i++) {
		const struct patchset_item *item = &m->patches.items[i];

		if (!*item->source || !item->patch)
			continue;
		r = desired_put_drop_in(&desired, item->name, item->path);
		if (r < 0)
			return;
		has_changed |= r > 0;
	}
	if (!has_changed)
		return;
	/* A damaged one stays as it is, for the admin to look at. */
	r = check_writable(m, NULL) < 0 ? 0 : store_write_journal(&m->store, &desired, &f);
	if (r < 0) {
		log_line(LOG_ERR, "journal: %s [%s]", f.error.message,
			 upatch_reason_name(f.error.reason));
	} else {
		struct desired old = m->desired;

		m->desired = desired;
		desired = old;
	}
	failure_clear(&f);
}

/* Patches that no drop-in file asks for any more are disabled, as by the verb. */
static int disable_removed(struct manager *m, const struct patchset *before, struct failure *f)
{
	_cleanup_(desired_deinit) struct desired desired = {};
	bool has_some = false;
	int r;

	if (desired_copy(&m->desired, &desired) < 0)
		return failure_oom(f);
	for (size_t i = 0; i < before->nr; i++) {
		const struct patchset_item *item = &before->items[i];

		if (!*item->source || !item->patch || drop_in_of(m, item->name) ||
		    desired_is_enabled(&desired, item->name))
			continue;
		if (put_disabled(&desired, item->name) < 0)
			return failure_oom(f);
		has_some = true;
	}
	if (!has_some)
		return 0;
	r = check_writable(m, f);
	if (r >= 0)
		r = commit(m, &desired, NULL, f);
	if (r >= 0)
		return r;
	/* A full disk, or a damaged journal: it is done all the same, and written with the next change. */
	desired_deinit(&m->desired);
	m->desired = desired;
	desired = (struct desired){};
	(void)rebuild(m, NULL); /* the write's failure is the one to tell */
	return r;
}

int manager_reload(struct manager *m, struct failure *f)
{
	struct patchset before;
	struct config config;
	int r;

	r = config_load(m->config_root, &config, f);
	if (r < 0) {
		(void)failure_copy(&m->config_failure, &f->error);
		manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_PROBLEM });
		return r;
	}
	config_deinit(&m->config);
	m->config = config;
	m->is_held = false;
	failure_clear(&m->config_failure);
	pool_set_max(m->pool, config.workers);
	before = m->patches;
	m->patches = (struct patchset){};
	r = rebuild(m, f);
	if (r < 0) {
		m->patches = before;
		return r;
	}
	r = disable_removed(m, &before, f);
	patchset_deinit(&before);
	remember_drop_ins(m);
	look_again(m);
	manager_tell(m, &(struct manager_event){ .kind = MANAGER_EVENT_PATCHES });
	return r;
}

/* --- life -------------------------------------------------------------------------------------- */

/* A damaged file is a problem to show, not a reason to be away. */
static void load_files(struct manager *m)
{
	int r;

	if (config_load(m->config_root, &m->config, &m->config_failure) < 0) {
		config_init(&m->config);
		m->is_held = true;
		log_line(LOG_ERR,
			 "configuration: %s [%s]; nothing is applied until it is corrected",
			 m->config_failure.error.message,
			 upatch_reason_name(m->config_failure.error.reason));
	}
	r = store_read_journal(&m->store, &m->desired, &m->journal_failure);
	if (r == STORE_READ) {
		failure_clear(&m->journal_failure);
		store_tidy(&m->store, &m->desired);
		return;
	}
	log_line(LOG_ERR, "journal: %s [%s]%s", m->journal_failure.error.message,
		 upatch_reason_name(m->journal_failure.error.reason),
		 r < 0 ? "" : "; the one before it is in force");
}

static int start(struct manager *m, const struct manager_options *options, struct failure *f)
{
	int r;

	r = upatch_ctx_new(&m->ctx);
	if (r >= 0)
		r = wire_init(&m->wire);
	if (r >= 0)
		r = sd_event_add_defer(m->event, &m->defer, on_defer, m);
	if (r >= 0)
		r = sd_event_source_set_priority(m->defer, MANAGER_PRIORITY);
	if (r >= 0)
		r = pool_new(m->event, options->program, &m->pool);
	if (r < 0)
		return failure_set(f, r, UPATCH_E_INTERNAL, "cannot start: %s", strerror(-r));
	r = store_init(&m->store, options->state_root, f);
	if (r < 0)
		return r;
	load_files(m);
	pool_set_max(m->pool, m->config.workers);
	r = rebuild(m, f);
	if (r < 0)
		return r;
	remember_drop_ins(m);
	return scan_init(m, f);
}

int manager_new(sd_event *event, const struct manager_options *options, struct failure *f,
		struct manager **ret)
{
	struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return failure_oom(f);
	m->event = sd_event_ref(event);
	m->program = strdup(options->program);
	m->config_root = strdup(options->config_root);
	TAILQ_INIT(&m->reads);
	TAILQ_INIT(&m->work);
	TAILQ_INIT(&m->waiting);
	TAILQ_INIT(&m->running);
	r = m->program && m->config_root ? start(m, options, f) : failure_oom(f);
	if (r < 0)
		manager_free(m);
	else
		*ret = m;
	return r;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	m->fn = NULL;
	work_deinit(m);
	scan_deinit(m);
	TARGET_FOREACH(&m->targets, i, target, next)
	target_free(&m->targets, target);
	pool_free(m->pool);
	sd_event_source_disable_unref(m->defer);
	patchset_deinit(&m->patches);
	upatch_ctx_free(m->ctx);
	store_deinit(&m->store);
	desired_deinit(&m->desired);
	config_deinit(&m->config);
	failure_clear(&m->config_failure);
	failure_clear(&m->journal_failure);
	failure_clear(&m->watcher_failure);
	wire_deinit(&m->wire);
	free(m->program);
	free(m->config_root);
	sd_event_unref(m->event);
	free(m);
}
