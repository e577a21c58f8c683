/* SPDX-License-Identifier: GPL-2.0-only */
#define BLOCK 0
#define SECRET 4
#include "patch.h"
