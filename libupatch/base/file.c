/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/diag.h"

int file_read(struct diag *d, int fd, const struct file_spec *spec, uint8_t **ret, size_t *ret_size)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t done = 0, size;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return diag_err(d, -EINVAL, UPATCH_E_NOT_ELF, NULL, "'%s' is not a regular file",
				spec->name);
	if ((uint64_t)st.st_size > spec->size_max)
		return diag_err(d, -EFBIG, spec->too_large, NULL, "'%s' is larger than %zu bytes",
				spec->name, spec->size_max);
	size = (size_t)st.st_size;
	bytes = malloc(size + 1);
	if (!bytes)
		return diag_oom(d);
	while (done < size) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot read '%s': %s",
					spec->name, strerror(errno));
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret = take_ptr(bytes);
	*ret_size = done;
	return 0;
}
