/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For LD_AUDIT: sees all that is loaded, and has a namespace of its own. */
#include <link.h>

unsigned int la_version(unsigned int version)
{
	return version;
}

unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)map;
	(void)lmid;
	(void)cookie;
	return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
