/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_FRAMES_H
#define AGENT_FRAMES_H

/* Unwind tables of parts, for C++ exceptions: libgcc_s.so, where it is loaded, is told of them. */

#include "agent/dl_map.h"
#include "agent/dl_record.h"

/* Tell it. @object: in the record. Without libgcc_s nothing throws. */
void frames_register(const struct poke *poke, const struct dl_debug *list,
		     const struct upatch_meta_object *object);
void frames_deregister(const struct poke *poke, const struct upatch_meta_object *object);

#endif
