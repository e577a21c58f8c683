/* SPDX-License-Identifier: GPL-2.0-only */
#define BLOCK 0
#define OTHER 6
#include "patch.h"
