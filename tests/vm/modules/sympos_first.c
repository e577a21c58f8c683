/* SPDX-License-Identifier: GPL-2.0-only */
#define BOTH 1
#define POSITION 1
#include "patch.h"
