/* SPDX-License-Identifier: GPL-2.0-only */
#define SECRET 3
#include "patch.h"
