/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "arch/arch.h"

#include "base/array.h"

static const struct arch_ops *const arches[] = {
	&arch_x86_64,
};

const struct arch_ops *arch_by_machine(uint16_t machine)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(arches); i++)
		if (arches[i]->machine == machine)
			return arches[i];
	return NULL;
}
