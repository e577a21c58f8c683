/* SPDX-License-Identifier: GPL-2.0-only */
#define BLOCK 1
#define SECRET 5
#include "patch.h"
