/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VM_VICTIM_H
#define VM_VICTIM_H

#define TARGET noinline __noclone __used

int victim_both(void);

#endif
