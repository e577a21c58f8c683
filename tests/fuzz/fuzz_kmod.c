/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/diag.h"
#include "patchfile/kmod.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What kmod.h promises of a module that was accepted. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct diag diag;
	struct kmod kmod;

	diag_init(&diag);
	if (kmod_parse(&diag, "fuzz", bytes, size, &kmod) == 0) {
		assert(*kmod.name && strlen(kmod.name) <= KMOD_NAME_MAX);
		assert(!strchr(kmod.name, '/') && !strchr(kmod.name, '.'));
		assert(*kmod.release && strlen(kmod.release) <= KMOD_RELEASE_MAX);
		assert(strncmp(kmod.vermagic, kmod.release, strlen(kmod.release)) == 0);
		assert(kmod.size == size && memcmp(kmod.bytes, bytes, size) == 0);
		kmod_deinit(&kmod);
	} else {
		assert(diag.error.reason == UPATCH_E_BAD_MODULE && *diag.error.message);
	}
	diag_deinit(&diag);
	return 0;
}
