/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded: its constructor waits for a byte from standard input, so that main() has not begun. */
#include <unistd.h>

__attribute__((constructor)) static void begin(void)
{
	char c;

	(void)!write(STDOUT_FILENO, "starting\n", 9);
	(void)!read(STDIN_FILENO, &c, 1);
}
