/* SPDX-License-Identifier: GPL-2.0-only */
#define SECRET 6
#include "patch.h"
