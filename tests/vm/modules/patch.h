/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One description, two patches. A file defines what its patch has, and includes this: kbuild makes a klp
 * module of it, upatchctl build a .upatch.
 *
 *	SECRET, OTHER	replace that function by one that returns this
 *	BOTH, POSITION	replace both() by one that returns this; its position, 0 where there is none
 *	BLOCK		replace block_here(), in which a thread may be: 0, by one that returns at once;
 *			1, by one that blocks as well
 *	PLUGS		the libraries, or modules, plug and plug2 as well; plug_value() returns this
 *	CALLBACKS	all four, for each object; pre_patch may be told to refuse
 *	STATE		system state 1 in this version, kept by callbacks
 *	SHADOW_VARIABLES	a post_patch callback that tries all calls of shadow variables
 */
#ifdef __KERNEL__
#include "kernel_side.h"
#else
#include "user_side.h"
#endif
