/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that none of the programs loads. */

int library_answer(int x);

__attribute__((visibility("default"), noinline, noclone)) int library_answer(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 3 + 1; /* long enough for a jump */
}
