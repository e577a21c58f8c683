/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that no patch is for. */
int unrelated(int x);

int unrelated(int x)
{
	return x + 1;
}
