/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_REGION_H
#define LIVEPATCH_REGION_H

/*
 * Mappings of ours in a target. Each is announced in the record before it is made and before it is
 * unmade, so that none is lost when we die.
 */

#include <stddef.h>
#include <stdint.h>
#include <upatch/abi.h>

struct place_near;
struct rcall;
struct session;

/**
 * region_map_record() - make the record itself
 * It has nobody to announce it: its size, place and zeroes tell what it is until its header is
 * written. Return: 0, or -errno raised.
 */
int region_map_record(struct session *session, struct rcall *rcall);

/* Unmap the record, which must be empty. Return: 0, or -errno raised. */
int region_unmap_record(struct session *session, struct rcall *rcall);

/**
 * region_map() - one region, zeroed
 * @want: kind, sizes and owner; address and state are ignored
 * @near: where, or NULL for anywhere
 * @ret_index: in the record
 *
 * Return: 0, or -errno raised with UPATCH_E_NO_ROOM, UPATCH_E_RCALL, UPATCH_E_RECORD_FULL.
 */
int region_map(struct session *session, struct rcall *rcall, const struct upatch_region *want,
	       const struct place_near *near, int *ret_index);

/**
 * region_unmap() - also one that was only announced
 * What is mapped there now is unmapped only if it can be no one else's.
 * Return: 0, or -errno raised.
 */
int region_unmap(struct session *session, struct rcall *rcall, size_t index);

#endif
