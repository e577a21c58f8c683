/* SPDX-License-Identifier: GPL-2.0-only */
#define SECRET 2
#include "patch.h"
