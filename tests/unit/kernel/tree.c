/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/deadline.h"

static void make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
}

static void full_path(const struct tree *tree, const char *path, char ret[PATH_MAX])
{
	assert_true(snprintf(ret, PATH_MAX, "%s/%s", tree->root, path) < PATH_MAX);
}

void tree_write_bytes(struct tree *tree, const char *path, const void *bytes, size_t size)
{
	char full[PATH_MAX];
	FILE *file;

	full_path(tree, path, full);
	make_directories(full);
	file = fopen(full, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

void tree_write(struct tree *tree, const char *path, const char *text)
{
	char line[KERNEL_TEXT_MAX];

	assert_true(snprintf(line, sizeof(line), "%s\n", text) < (int)sizeof(line));
	tree_write_bytes(tree, path, line, strlen(line));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void tree_remove(struct tree *tree, const char *path)
{
	char full[PATH_MAX];

	full_path(tree, path, full);
	assert_int_equal(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void assert_file(struct tree *tree, const char *path, const char *text)
{
	char content[KERNEL_TEXT_MAX];

	assert_int_equal(kernel_read(tree->root, path, content, sizeof(content)), 0);
	assert_string_equal(content, text);
}

void tree_add_patch(struct tree *tree, const char *name, const char *enabled,
		    const char *transition)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "sys/kernel/livepatch/%s/enabled", name);
	tree_write(tree, path, enabled);
	(void)snprintf(path, sizeof(path), "sys/kernel/livepatch/%s/transition", name);
	tree_write(tree, path, transition);
	(void)snprintf(path, sizeof(path), "sys/kernel/livepatch/%s/force", name);
	tree_write(tree, path, "-");
	(void)snprintf(path, sizeof(path), "sys/kernel/livepatch/%s/vmlinux/patched", name);
	tree_write(tree, path, enabled);
	(void)snprintf(path, sizeof(path), "sys/module/%s/refcnt", name);
	tree_write(tree, path, "0");
	(void)snprintf(path, sizeof(path), "sys/module/%s/taint", name);
	tree_write(tree, path, "OEK");
}

void tree_set_deadline(struct tree *tree, unsigned int ms)
{
	tree->kernel.deadline = deadline_in(ms * NSEC_PER_MSEC);
}

void assert_refused(struct tree *tree, int r, enum upatch_reason reason)
{
	assert_true(r < 0);
	assert_string_equal(upatch_reason_name(tree->diag.error.reason),
			    upatch_reason_name(reason));
	assert_int_equal(tree->diag.error.error, r);
	assert_true(tree->diag.error.message && *tree->diag.error.message);
}

/* --- the kernel's side ------------------------------------------------------------------------ */

static int load(void *userdata, const char *name, const uint8_t *bytes, size_t size)
{
	struct tree *tree = userdata;

	tree->loads++;
	if (tree->on_load && tree->on_load(tree) < 0)
		return -EBUSY;
	if (tree->load_error)
		return tree->load_error;
	if (tree->is_empty) {
		char path[PATH_MAX];

		(void)snprintf(path, sizeof(path), "sys/module/%s/refcnt", name);
		tree_write(tree, path, "0");
		return 0;
	}
	tree_add_patch(tree, name, "1", tree->held ? "1" : "0");
	return 0;
}

static int unload(void *userdata, const char *name)
{
	struct tree *tree = userdata;
	char path[PATH_MAX];

	tree->unloads++;
	if (tree->on_unload && tree->on_unload(tree) < 0)
		return -EBUSY;
	if (tree->unload_error)
		return tree->unload_error;
	(void)snprintf(path, sizeof(path), "sys/module/%s", name);
	tree_remove(tree, path);
	return 0;
}

static int may_load(void *userdata)
{
	const struct tree *tree = userdata;

	return tree->may_not_load ? -EPERM : 0;
}

static int release(void *userdata, char *ret, size_t size)
{
	(void)snprintf(ret, size, "6.1.0-test");
	return 0;
}

static int write_attribute(void *userdata, const char *root, const char *path, const char *text)
{
	struct tree *tree = userdata;
	int r = 0;

	tree->writes++;
	if (tree->on_write)
		r = tree->on_write(tree, path, text);
	return r < 0 ? r : kernel_ops_tree.write(NULL, root, path, text);
}

static const struct kernel_ops ops = {
	.load = load,
	.unload = unload,
	.release = release,
	.write = write_attribute,
	.may_load = may_load,
};

int tree_setup(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	assert_non_null(tree);
	(void)strcpy(tree->root, "/tmp/upatch-tree.XXXXXX");
	assert_non_null(mkdtemp(tree->root));
	(void)snprintf(tree->sysfs, sizeof(tree->sysfs), "%s/sys", tree->root);
	(void)snprintf(tree->proc, sizeof(tree->proc), "%s/proc", tree->root);
	diag_init(&tree->diag);
	tree->kernel = (struct kernel){
		.diag = &tree->diag,
		.sysfs = tree->sysfs,
		.proc = tree->proc,
		.ops = &ops,
		.userdata = tree,
	};
	tree->kmod = (struct kmod){
		.name = strdup("fix"),
		.vermagic = strdup("6.1.0-test SMP mod_unload"),
		.release = strdup("6.1.0-test"),
		.bytes = calloc(1, 64),
		.size = 64,
	};
	tree_write(tree, "sys/kernel/livepatch/.keep", "");
	tree_write(tree, "proc/sys/kernel/ftrace_enabled", "1");
	*state = tree;
	return 0;
}

int tree_teardown(void **state)
{
	struct tree *tree = *state;

	tree_remove(tree, "");
	kmod_deinit(&tree->kmod);
	diag_deinit(&tree->diag);
	free(tree);
	return 0;
}
