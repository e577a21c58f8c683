/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "victim.h"

TARGET static int both(void)
{
	__asm__ volatile("");
	return 20;
}

int victim_both(void)
{
	return both();
}
