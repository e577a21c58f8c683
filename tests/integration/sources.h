/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INTEGRATION_SOURCES_H
#define INTEGRATION_SOURCES_H

/* Bodies of patches that several tests use. */

/* A function, with everything that a replacement may refer to. */
#define SOURCE_ADD                                                                                 \
	"#include <stdio.h>\n"                                                                     \
	"#include <string.h>\n"                                                                    \
	"extern __thread int tls_counter;\n"                                                       \
	"extern int hidden_counter UPATCH_PRIVATE(\"hidden_counter\", 0);\n"                       \
	"extern int old_add(int) UPATCH_ORIGINAL(\"add_hidden\", 0);\n"                            \
	"static int calls;\n"                                                                      \
	"static const char *const names[] = { \"a\", \"bb\", \"ccc\" };\n"                         \
	"static int new_add(int x)\n"                                                              \
	"{\n"                                                                                      \
	"	char buf[64];\n"                                                                         \
	"	snprintf(buf, sizeof(buf), \"%s%d\", names[calls++ % 3], hidden_counter);\n"             \
	"	return 1000 * (int)strlen(buf) + old_add(x);\n"                                          \
	"}\n"                                                                                      \
	"UPATCH_FUNC(add_hidden, new_add);\n"

/* A private function, which returns what is told. */
#define SOURCE_SECRET(value)                                                                       \
	"static int new_secret(int x) { return " #value "; }\n"                                    \
	"UPATCH_FUNC(secret, new_secret);\n"

/* Two functions: one that threads wait in, and one whose version shows from outside. */
#define SOURCE_BLOCK_AND_SECRET(value) SOURCE_BLOCK SOURCE_SECRET(value)

/* The one function that waits, calls the other, and waits again; and the other. */
#define SOURCE_CALLER(value)                                                                       \
	SOURCE_SECRET(value)                                                                       \
	"static int new_caller(int fd) { return fd; }\n"                                           \
	"UPATCH_FUNC(block_and_call, new_caller);\n"

/* A function that waits as the original does, and where nothing else tells the two apart. */
#define SOURCE_BLOCK_TOO                                                                           \
	"#include <unistd.h>\n"                                                                    \
	"static void new_block(int fd)\n"                                                          \
	"{\n"                                                                                      \
	"	char c;\n"                                                                               \
	"	while (read(fd, &c, 1) < 0)\n"                                                           \
	"		continue;\n"                                                                            \
	"	__asm__ volatile(\"\");\n"                                                               \
	"}\n"                                                                                      \
	"UPATCH_FUNC(block_here, new_block);\n"

#define SOURCE_BLOCK                                                                               \
	"static void new_block(int fd) { (void)fd; }\n"                                            \
	"UPATCH_FUNC(block_here, new_block);\n"

#endif
