/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INTEGRATION_LOADER_H
#define INTEGRATION_LOADER_H

/* The victim that loads plugins, and patches for these. */

#include "fixture.h"

int loader_setup(void **state);
#define loader_test(fn) cmocka_unit_test_setup_teardown(fn, loader_setup, fixture_teardown)

/* Sources for one patch: each is for the object that its UPATCH_OBJECT() names. */
struct loader_patch {
	const char *name;
	const char *sources[4];
	bool replace;
	const char *required; /* or NULL */
};

/* Return: the path of the patch file. Must succeed. */
const char *loader_build(struct fixture *f, const struct loader_patch *patch);

/* Build and apply. */
void loader_apply(struct fixture *f, const struct loader_patch *patch);
int loader_try_apply(struct fixture *f, const struct loader_patch *patch,
		     const struct upatch_options *options);

/* Patches called "p": plug_value() gives x + 100, and own_value() of the program itself x + 1000. */
extern const struct loader_patch loader_plug;
extern const struct loader_patch loader_both;

/* Libraries are followed: "plug" is patched before its constructor runs, and goes again. */
void loader_assert_follows(struct fixture *f);

/* They are not, says a message with these words in it, and nothing has been changed. */
void loader_assert_not_followed(struct fixture *f, const char *why);

/* What is there is patched all the same, the program or the library itself. */
void loader_assert_patches_what_is_there(struct fixture *f);

/* The state of an object of a patch in the status: "patched", "waiting", ...; "none". */
const char *loader_object_state(struct fixture *f, const char *patch, const char *object);

/* How many copies of an object the status lists. */
size_t loader_count(struct fixture *f, const char *patch, const char *object);

/* plug_value() gives @value. */
#define PLUG_VALUE(value)                                                                          \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"libplug.so\");\n"                                                         \
	"static int new_value(int x) { return " #value "; }\n"                                     \
	"UPATCH_FUNC(plug_value, new_value);\n"

/* All four for an object, which note what it is told; pre-patch returns @ret. */
#define CALLBACKS(object, ret)                                                                        \
	"#include <errno.h>\n"                                                                        \
	"#include <upatch/livepatch.h>\n"                                                             \
	"UPATCH_OBJECT(\"" object "\");\n"                                                            \
	"extern void note(const char *what, int value);\n"                                            \
	"static int pre(const struct upatch_callback *cb)\n"                                          \
	"{ note(\"pre_patch\", cb->state); return " #ret "; }\n"                                      \
	"static void post(const struct upatch_callback *cb) { note(\"post_patch\", cb->state); }\n"   \
	"static void unpre(const struct upatch_callback *cb) { note(\"pre_unpatch\", cb->state); }\n" \
	"static void unpost(const struct upatch_callback *cb)\n"                                      \
	"{ note(\"post_unpatch\", cb->state); }\n"                                                    \
	"UPATCH_PRE_PATCH(pre);\n"                                                                    \
	"UPATCH_POST_PATCH(post);\n"                                                                  \
	"UPATCH_PRE_UNPATCH(unpre);\n"                                                                \
	"UPATCH_POST_UNPATCH(unpost);\n"

/* The program's own function does. */
#define OWN_VALUE(value)                                                                           \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"victim-loader\");\n"                                                      \
	"static int new_value(int x) { return " #value "; }\n"                                     \
	"UPATCH_FUNC(own_value, new_value);\n"

#endif
