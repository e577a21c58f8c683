/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library that comes and goes; it says what its function returns. PLUG is its name. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((noipa)) int plug_value(int x);

__attribute__((noipa)) int plug_value(int x)
{
	if (x < 0)
		printf("negative\n");
	return x + 10;
}

static void say(const char *what)
{
	int fd = open("/tmp/transcript", O_WRONLY | O_APPEND | O_CLOEXEC);

	dprintf(fd, "event: '" PLUG "' %s: %d\n", what, plug_value(1));
	close(fd);
}

__attribute__((constructor)) static void begin(void)
{
	say("begins");
}

__attribute__((destructor)) static void end(void)
{
	say("ends");
}
