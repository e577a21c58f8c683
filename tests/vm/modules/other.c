/* SPDX-License-Identifier: GPL-2.0-only */
#define OTHER 8
#include "patch.h"
