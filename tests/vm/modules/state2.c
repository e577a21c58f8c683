/* SPDX-License-Identifier: GPL-2.0-only */
#define STATE 2
#define SECRET 2
#include "patch.h"
