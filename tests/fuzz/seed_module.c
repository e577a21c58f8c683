/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What upatchctl reads of a klp module, and nothing that a kernel would take. */

__attribute__((section(".modinfo"), used)) static const char modinfo[] =
	"license=GPL\0livepatch=Y\0name=cli_module\0vermagic=0.0.0-none SMP mod_unload ";
