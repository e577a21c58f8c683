/* SPDX-License-Identifier: GPL-2.0-only */
#define CALLBACKS
#define BLOCK 0
#define PLUGS 77
#include "patch.h"
