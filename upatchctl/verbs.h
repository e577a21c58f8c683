/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_VERBS_H
#define UPATCHCTL_VERBS_H

/*
 * What upatchctl can do. A verb reads its own options, calls the library, and puts what it found
 * into the model of @userdata, a struct cli. It returns 0, or a negative errno when there is
 * nothing more to do; why is in the model by then, and so is the exit status.
 */

struct verb {
	const char *name;
	int (*run)(int argc, char *argv[], void *userdata);
	const char *summary;
};

/** verbs_find() - by name in a table that ends with a name of NULL; NULL: there is none */
const struct verb *verbs_find(const struct verb *verbs, const char *name);

int verb_build(int argc, char *argv[], void *userdata);
int verb_inspect(int argc, char *argv[], void *userdata);
int verb_check(int argc, char *argv[], void *userdata);
int verb_apply(int argc, char *argv[], void *userdata);
int verb_revert(int argc, char *argv[], void *userdata);
int verb_wait(int argc, char *argv[], void *userdata);
int verb_force(int argc, char *argv[], void *userdata);
int verb_threads(int argc, char *argv[], void *userdata);
int verb_status(int argc, char *argv[], void *userdata);
int verb_kernel(int argc, char *argv[], void *userdata);
int verb_gc(int argc, char *argv[], void *userdata);
int verb_enable(int argc, char *argv[], void *userdata);
int verb_disable(int argc, char *argv[], void *userdata);
int verb_list(int argc, char *argv[], void *userdata);
int verb_monitor(int argc, char *argv[], void *userdata);

#endif
