/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <upatch/upatch.h>

#include "base/export.h"
#include "elf/image.h"

_Static_assert(UPATCH_BUILD_ID_MAX == 2 * BUILD_ID_MAX + 1, "the text of any build ID fits");

EXPORT int upatch_file_build_id(int fd, char ret[UPATCH_BUILD_ID_MAX])
{
	struct build_id id;

	if (!build_id_read(fd, &id))
		return -ENODATA;
	(void)build_id_format(&id, ret);
	return 0;
}
