/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/module.h>

#include "victim.h"

static TARGET int both(void)
{
	return 20;
}

int victim_both(void)
{
	return both();
}
