/* SPDX-License-Identifier: GPL-2.0-only */
#define STATE 1
#define SECRET 1
#include "patch.h"
