/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_PATCHVIEW_H
#define UPATCHCTL_PATCHVIEW_H

/* A patch file, as build and inspect show it. */

#include <stdio.h>

#include "cli.h"

/** patchview_load() - put the file's content into the model as "patch"; 0, or -errno */
int patchview_load(struct cli *cli, const char *path);

/** patchview_print() - the model's "patch" as text */
void patchview_print(const struct cli *cli, FILE *out);

#endif
