/* SPDX-License-Identifier: GPL-2.0-only */
#define SHADOW_VARIABLES
#define SECRET 1
#include "patch.h"
