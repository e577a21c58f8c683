/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library of programs b and c. */

int shared_answer(int x);

__attribute__((visibility("default"), noinline, noclone)) int shared_answer(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 3 + 1; /* long enough for a jump */
}
