/* SPDX-License-Identifier: GPL-2.0-only */
#define CALLBACKS
#define SECRET 7
#define PLUGS 77
#include "patch.h"
