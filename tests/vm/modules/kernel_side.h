/* SPDX-License-Identifier: GPL-2.0-only */
/* The klp module of a patch that patch.h describes. */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

static bool replace;
module_param(replace, bool, 0444);
static int pre_patch_ret;
module_param(pre_patch_ret, int, 0644);
static bool released;
module_param(released, bool, 0644);

#define SAY(fmt, ...) pr_info("event: " fmt "\n", __VA_ARGS__)

#ifdef SECRET
static int new_secret(int x)
{
	return SECRET;
}
#endif
#ifdef OTHER
static int new_other(int x)
{
	return OTHER;
}
#endif
#ifdef BOTH
static int new_both(void)
{
	return BOTH;
}
#endif
#ifdef BLOCK
static void new_block(int fd)
{
	while (BLOCK && !READ_ONCE(released))
		schedule_timeout_idle(1);
}
#endif
#ifdef PLUGS
static int new_plug_value(int x)
{
	return PLUGS;
}
#endif

static struct klp_func funcs[] = {
#ifdef SECRET
	{ .old_name = "secret", .new_func = new_secret },
#endif
#ifdef OTHER
	{ .old_name = "other", .new_func = new_other },
#endif
#ifdef BOTH
	{ .old_name = "both", .new_func = new_both, .old_sympos = POSITION },
#endif
#ifdef BLOCK
	{ .old_name = "block_here", .new_func = new_block },
#endif
	{}
};

#ifdef CALLBACKS
static int pre(struct klp_object *obj)
{
	SAY("pre_patch: '%s' (%d)", obj->name, obj->mod->state);
	return READ_ONCE(pre_patch_ret);
}

static void post(struct klp_object *obj)
{
	SAY("post_patch: '%s' (%d)", obj->name, obj->mod->state);
}

static void unpre(struct klp_object *obj)
{
	SAY("pre_unpatch: '%s' (%d)", obj->name, obj->mod->state);
}

static void unpost(struct klp_object *obj)
{
	SAY("post_unpatch: '%s' (%d)", obj->name, obj->mod->state);
}
#define HAS_CALLBACKS
#endif

#ifdef STATE
static struct klp_patch patch;

static int pre(struct klp_object *obj)
{
	struct klp_state *prev = klp_get_prev_state(1);

	klp_get_state(&patch, 1)->data = prev ? prev->data : kzalloc(8, GFP_KERNEL);
	SAY("pre_patch: '%s' state: %s", obj->name,
	    prev ? "space already allocated" : "allocating space");
	return 0;
}

static void post(struct klp_object *obj)
{
	SAY("post_patch: '%s' state: %s", obj->name,
	    klp_get_prev_state(1) ? "taking over" : "fixing");
}

static void unpre(struct klp_object *obj)
{
	SAY("pre_unpatch: '%s' state: %s", obj->name, "restoring");
}

static void unpost(struct klp_object *obj)
{
	SAY("post_unpatch: '%s' state: %s", obj->name, "freeing");
	kfree(klp_get_state(&patch, 1)->data);
}
#define HAS_CALLBACKS
static struct klp_state states[] = { { .id = 1, .version = STATE }, {} };
#endif

#ifdef SHADOW_VARIABLES
#define SHADOW(call) klp_shadow_##call
#define SHADOW_FLAGS GFP_KERNEL,
#include "shadow.h"

static void post(struct klp_object *obj)
{
	SAY("post_patch: '%s' tries shadow variables", obj->name);
	try_shadow_variables();
}
#endif

static struct klp_object objs[] = {
	{
		.name = "victim",
		.funcs = funcs,
#ifdef HAS_CALLBACKS
		.callbacks = { pre, post, unpre, unpost },
#endif
#ifdef SHADOW_VARIABLES
		.callbacks = { .post_patch = post },
#endif
	},
#ifdef PLUGS
	{
		.name = "plug",
		.funcs =
			(struct klp_func[]){
				{ .old_name = "plug_value", .new_func = new_plug_value }, {} },
		.callbacks = { pre, post, unpre, unpost },
	},
	{
		.name = "plug2",
		.funcs =
			(struct klp_func[]){
				{ .old_name = "plug_value", .new_func = new_plug_value }, {} },
		.callbacks = { pre, post, unpre, unpost },
	},
#endif
	{}
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
#ifdef STATE
	.states = states,
#endif
};

static int __init patch_init(void)
{
	patch.replace = replace;
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_DESCRIPTION("A patch of the livepatch scenarios");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
