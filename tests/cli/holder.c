/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A target: an 'h' on its standard input has it wait in hold(), until there comes a '.'. */
#include <unistd.h>

__attribute__((noipa, used)) static void hold(void)
{
	char c = 0;

	while (c != '.')
		if (read(STDIN_FILENO, &c, 1) != 1)
			_exit(0);
	__asm__ volatile("");
}

int main(void)
{
	char c;

	if (write(STDOUT_FILENO, "r", 1) != 1)
		return 1;
	while (read(STDIN_FILENO, &c, 1) == 1)
		if (c == 'h')
			hold();
	return 0;
}
