/* SPDX-License-Identifier: GPL-2.0-only */
#define CALLBACKS
#define OTHER 8
#include "patch.h"
