/* SPDX-License-Identifier: GPL-2.0-only */
#define BOTH 2
#define POSITION 2
#include "patch.h"
