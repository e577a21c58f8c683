/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "desired.h"
#include "job.h"
#include "store.h"

/* Drop-in files come first, in the order of their names and sections; then what was enabled. */
enum {
	ORDER_ENABLED = 1 << 20,
};

/* One while they are gathered: its views are made when all are there. */
struct gathered {
	struct patchset_item item;
	int is_enabled;
	uint64_t since;
	uint64_t order;
};

struct gathering {
	const struct patchset_sources *sources;
	struct gathered *all;
	size_t nr;
};

static void item_deinit(struct patchset_item *item)
{
	upatch_patch_close(item->patch);
	free(item->name);
	free(item->path);
	free(item->source);
	rule_deinit(&item->rule);
	failure_clear(&item->failure);
}

void patchset_deinit(struct patchset *set)
{
	for (size_t i = 0; i < set->nr; i++)
		item_deinit(&set->items[i]);
	free(set->items);
	free(set->policy);
	free(set->public);
	*set = (struct patchset){};
}

int patchset_find(const struct patchset *set, const char *name)
{
	for (size_t i = 0; i < set->nr; i++)
		if (strcmp(set->items[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

static const struct gathered *find(const struct gathering *g, const char *name)
{
	for (size_t i = 0; i < g->nr; i++)
		if (strcmp(g->all[i].item.name, name) == 0)
			return &g->all[i];
	return NULL;
}

static void open_item(struct gathering *g, struct patchset_item *item)
{
	struct upatch_ctx *ctx = g->sources->ctx;

	if (upatch_patch_open(ctx, item->path, &item->patch) < 0)
		(void)failure_copy(&item->failure, upatch_ctx_error(ctx)); /* it is in status */
}

static void check_name(struct patchset_item *item, const char *name)
{
	const char *other = item->patch ? upatch_patch_info(item->patch)->name : name;

	if (strcmp(other, name) == 0)
		return;
	failure_set(&item->failure, -EINVAL, UPATCH_E_BAD_PATCHFILE, "'%s' is patch '%s', not '%s'",
		    item->path, other, name);
	upatch_patch_close(item->patch);
	item->patch = NULL;
}

static int gather_desired(struct gathering *g, const struct desired_patch *from)
{
	struct gathered *to = &g->all[g->nr];
	struct patchset_item *item = &to->item;

	item->name = strdup(from->name);
	item->path = store_path(g->sources->store, from->file);
	item->source = strdup("");
	g->nr++; /* complete or not, it is released */
	if (!item->name || !item->path || !item->source || rule_copy(&from->rule, &item->rule) < 0)
		return -ENOMEM;
	to->is_enabled = from->is_enabled;
	to->since = from->since;
	to->order = ORDER_ENABLED + from->order;
	if (!*from->file)
		return 0; /* of what is only reverted no file is needed */
	open_item(g, item);
	check_name(item, from->name);
	return 0;
}

/*
 * The file cannot be read: it is the patch that it was before, whose name tells where it is applied. So it
 * is left there, which no file is needed for.
 */
static int gather_unreadable(struct gathering *g, struct patchset_item *item)
{
	const struct desired_patch *last = desired_find_drop_in(g->sources->desired, item->path);
	const struct gathered *other = last ? find(g, last->name) : NULL;

	if (!last || (other && other->is_enabled))
		return 0;
	free(item->name);
	item->name = strdup(last->name);
	return item->name ? 0 : -ENOMEM;
}

static int gather_drop_in(struct gathering *g, const struct config_patch *from, uint64_t order)
{
	struct gathered *to = &g->all[g->nr];
	struct patchset_item *item = &to->item;
	const struct gathered *other;

	item->path = strdup(from->path);
	item->source = strdup(from->source);
	item->name = strdup(from->path); /* until it is known */
	g->nr++;
	if (!item->path || !item->source || !item->name || rule_copy(&from->rule, &item->rule) < 0)
		return -ENOMEM;
	to->is_enabled = 1;
	to->order = order;
	open_item(g, item);
	if (!item->patch)
		return gather_unreadable(g, item);
	other = find(g, upatch_patch_info(item->patch)->name);
	if (other && other->is_enabled) {
		failure_set(&item->failure, -EEXIST, UPATCH_E_CONFIG,
			    "%s: patch '%s' is enabled already, by %s", from->source,
			    other->item.name,
			    *other->item.source ? other->item.source : "upatchctl enable");
		upatch_patch_close(item->patch);
		item->patch = NULL;
		return 0;
	}
	free(item->name);
	item->name = strdup(upatch_patch_info(item->patch)->name);
	return item->name ? 0 : -ENOMEM;
}

static int compare_names(const void *a, const void *b)
{
	const struct gathered *x = a, *y = b;

	return strcmp(x->item.name, y->item.name);
}

static void make_views(struct patchset *set, const struct gathered *all)
{
	for (size_t i = 0; i < set->nr; i++) {
		struct patchset_item *item = &set->items[i];
		const struct upatch_patch_info *info;

		*item = all[i].item;
		info = item->patch ? upatch_patch_info(item->patch) : NULL;
		set->policy[i] = (struct policy_patch){
			.name = item->name,
			.version = info ? info->version : "",
			.info = info,
			.rule = &item->rule,
			.is_enabled = all[i].is_enabled,
			.since = all[i].order,
		};
		set->public[i] = (struct manager_patch){
			.name = item->name,
			.file = item->path,
			.info = info,
			.rule = &item->rule,
			.source = item->source,
			.is_enabled = all[i].is_enabled,
			.since = all[i].since,
			.error = item->failure.error.message ? &item->failure.error : NULL,
		};
	}
}

static int gather_all(struct gathering *g)
{
	const struct config *config = g->sources->config;
	const struct desired *desired = g->sources->desired;
	int r = 0;

	for (size_t i = 0; i < desired->nr && r >= 0; i++)
		r = gather_desired(g, &desired->patches[i]);
	for (size_t i = 0; config && i < config->nr_patches && r >= 0; i++)
		r = gather_drop_in(g, &config->patches[i], i + 1);
	return r;
}

/* What a drop-in file wants wins over an earlier disable: that is forgotten. */
static void drop_disabled_twins(struct gathering *g)
{
	size_t nr = 0;

	for (size_t i = 0; i < g->nr; i++) {
		bool has_twin = false;

		for (size_t n = 0; n < g->nr && !g->all[i].is_enabled; n++)
			has_twin |= g->all[n].is_enabled &&
				    strcmp(g->all[n].item.name, g->all[i].item.name) == 0;
		if (has_twin)
			item_deinit(&g->all[i].item);
		else
			g->all[nr++] = g->all[i];
	}
	g->nr = nr;
}

int patchset_init(struct patchset *set, const struct patchset_sources *sources)
{
	size_t max = sources->desired->nr + (sources->config ? sources->config->nr_patches : 0) + 1;
	struct gathering g = { .sources = sources, .all = calloc(max, sizeof(*g.all)) };
	struct patchset own = {};
	int r = g.all ? gather_all(&g) : -ENOMEM;

	if (r >= 0) {
		drop_disabled_twins(&g);
		own.items = calloc(g.nr + 1, sizeof(*own.items));
		own.policy = calloc(g.nr + 1, sizeof(*own.policy));
		own.public = calloc(g.nr + 1, sizeof(*own.public));
		r = own.items && own.policy && own.public ? 0 : -ENOMEM;
	}
	if (r < 0) {
		for (size_t i = 0; i < g.nr; i++)
			item_deinit(&g.all[i].item);
		patchset_deinit(&own);
	} else {
		own.nr = g.nr;
		qsort(g.all, g.nr, sizeof(*g.all), compare_names);
		make_views(&own, g.all);
		*set = own;
	}
	free(g.all);
	return r;
}

bool patchset_concerns(const struct patchset *set, const char *build_id)
{
	for (size_t i = 0; i < set->nr; i++) {
		const struct upatch_patch_info *info = set->policy[i].info;

		for (size_t n = 0; info && n < info->nr_objects; n++)
			if (strcmp(info->objects[n].build_id, build_id) == 0)
				return true;
	}
	return false;
}

bool patchset_means(const struct patchset *set, const struct job *job)
{
	int index = job->name ? patchset_find(set, job->name) : -ENOENT;
	const struct policy_patch *patch = index >= 0 ? &set->policy[index] : NULL;

	return patch && patch->since == job->order &&
	       (!job->digest || (patch->info && patch->info->digest == job->digest));
}
