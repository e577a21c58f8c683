/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_DL_LOCK_H
#define AGENT_DL_LOCK_H

/* See dl.h. Free in a forked child. The host frees it when its holder was taken out of a callback. */

void dl_lock(void);
void dl_unlock(void);

#endif
