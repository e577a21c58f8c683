/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "desired.h"
#include "failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What is written again of what was read is the same. */
static void write_again(const struct desired *desired)
{
	struct desired again;
	size_t size, size_again;
	char *text, *text_again;

	if (desired_format(desired, &text, &size) < 0)
		return;
	if (desired_parse(text, size, "journal", &again, NULL) < 0 ||
	    desired_format(&again, &text_again, &size_again) < 0)
		abort();
	if (size != size_again || memcmp(text, text_again, size) != 0)
		abort();
	desired_deinit(&again);
	free(text);
	free(text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct failure f = {};
	struct desired desired;

	if (desired_parse((const char *)bytes, size, "journal", &desired, &f) >= 0) {
		write_again(&desired);
		desired_deinit(&desired);
	} else if (!f.error.message || f.error.reason == UPATCH_E_NONE) {
		abort();
	}
	failure_clear(&f);
	return 0;
}
