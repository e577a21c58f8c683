/* SPDX-License-Identifier: GPL-2.0-only */
#define SECRET 1
#include "patch.h"
