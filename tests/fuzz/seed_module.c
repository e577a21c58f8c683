/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What upatchctl reads of a klp module, and nothing that a kernel would take. */

__attribute__((section(".modinfo"), used)) static const char modinfo[] =
	"license=GPL\0livepatch=Y\0name=cli_module\0vermagic=0.0.0-none SMP mod_unload ";

/* The beginning of the kernel's struct module. */
struct module {
	int state;
	void *list[2];
	char name[56];
};

__attribute__((section(".gnu.linkonce.this_module"), used)) static struct module module = {
	.name = "cli_module",
};
