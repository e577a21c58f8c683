/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_HOST_H
#define UPATCHCTL_HOST_H

#include "cli.h"

/** host_status() - status of the whole host, as the daemon sees it; 0, or -errno in the model */
int host_status(struct cli *cli);

#endif
