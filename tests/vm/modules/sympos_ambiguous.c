/* SPDX-License-Identifier: GPL-2.0-only */
#define BOTH 3
#define POSITION 0
#include "patch.h"
