/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>

#include "config.h"
#include "failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Any bytes as upatchd's configuration: taken, or refused with a reason and a line. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct failure f = {};
	struct config config;

	config_init(&config);
	if (config_parse((const char *)bytes, size, "fuzz.conf", &config, &f) < 0 &&
	    (!f.error.message || f.error.reason == UPATCH_E_NONE))
		abort();
	failure_clear(&f);
	config_deinit(&config);
	return 0;
}
