/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VM_VICTIM_H
#define VM_VICTIM_H

#define TARGET __attribute__((noipa, used))

int victim_both(void);

#endif
