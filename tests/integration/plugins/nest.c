/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the plugin in its constructor, and lets it go in its destructor. */
#include <dlfcn.h>
#include <stdio.h>

extern const char *plugin_path(const char *name);
extern void note(const char *what, int value);

static void *plug;

__attribute__((constructor)) static void begin(void)
{
	int (*value)(int);

	plug = dlopen(plugin_path("plug"), RTLD_NOW);
	value = plug ? (int (*)(int))dlsym(plug, "plug_value") : 0;
	note("nested", value ? value(1) : -1);
}

__attribute__((destructor)) static void end(void)
{
	if (plug)
		dlclose(plug);
}
