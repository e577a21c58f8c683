/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_FIXUP_H
#define AGENT_FIXUP_H

/* The relocator: makes a copy of a template's payload fit its place. */

#include <stdint.h>
#include <upatch/abi_agent.h>

struct dl_scope;

/* What a template's symbol is here; one for each, zeroed before. */
struct fixup_value {
	uint64_t value;
	uint64_t tls_module;
	int64_t tp_offset;
	uint8_t is_known;
	uint8_t has_tp_offset;
};

/*
 * @bias:     of the object
 * @payload:  address that the payload will be at
 * @gateways: by index of the function
 */
struct fixup {
	const struct upatch_template *template;
	const struct dl_scope *scope;
	uint64_t bias;
	uint64_t payload;
	const uint64_t *gateways;
	struct fixup_value *values;
};

/**
 * fixup_apply() - to the payload's bytes
 * @ret_name: when it is refused, what symbol is to blame
 * Return: 0, or enum upatch_refused.
 */
uint32_t fixup_apply(const struct fixup *fixup, uint8_t *bytes, const char **ret_name);

/* Add a difference to 32 bits. Return: 0, or enum upatch_refused. */
uint32_t fixup_add32(uint8_t *place, int64_t delta);

#endif
