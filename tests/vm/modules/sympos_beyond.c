/* SPDX-License-Identifier: GPL-2.0-only */
#define BOTH 4
#define POSITION 3
#include "patch.h"
