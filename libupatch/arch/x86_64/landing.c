/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "arch/x86_64/x86_64.h"

/*
 * The stack pointer is at the frame: the return address was popped. With the system call skipped
 * and nobody there to move the thread, it goes around once more, and calls it for good.
 */
const struct arch_landing x86_64_landing = {
	.bytes = {
		0x48, 0x89, 0x44, 0x24, 0xf0, /*    mov %rax,-16(%rsp) */
		0xb8, 0x0f, 0x00, 0x00, 0x00, /* 1: mov $15,%eax */
		0x0f, 0x05,		      /*    syscall */
		0xeb, 0xf7,		      /*    jmp 1b */
	},
	.size = 14,
	.stop = 12,
	.result = -16,
};
