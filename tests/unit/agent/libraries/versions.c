/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One name in three versions, and whatever else a symbol table may have. For test_lookup.c. */

int many_1(void);
int many_2(void);
int many_3(void);
int retired_1(void);
int plain(void);
int later(void);
int (*resolve_chosen(void))(void);

extern int weak_data __attribute__((weak));
extern const int absolute;

_Thread_local int of_each_thread = 4;
_Thread_local int of_each_thread_zero[40];
int weak_data = 5;

int many_1(void)
{
	return 1;
}

int many_2(void)
{
	return 2;
}

int many_3(void)
{
	return 3;
}

int retired_1(void)
{
	return 11;
}

/* Under no version where the others have one: the version script does not name it. */
int plain(void)
{
	return of_each_thread + of_each_thread_zero[1];
}

int later(void)
{
	return 3;
}

int (*resolve_chosen(void))(void)
{
	return later;
}

int chosen(void) __attribute__((ifunc("resolve_chosen")));

__asm__(".globl absolute\n.set absolute, 0x12345\n");
#ifdef WITH_VERSIONS
__asm__(".symver many_1, many@LIB_1\n"
	".symver many_2, many@LIB_2\n"
	".symver many_3, many@@LIB_3\n"
	".symver retired_1, retired@LIB_1\n");
#endif
