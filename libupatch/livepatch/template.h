/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_TEMPLATE_H
#define LIVEPATCH_TEMPLATE_H

/*
 * Making a template (<upatch/abi_agent.h>): what a patch has for a library that may come and go,
 * complete but for addresses that only the agent will know. The library need not be there: what is
 * to be known about its code is in the patch file.
 */

#include <stddef.h>
#include <stdint.h>

struct payload;
struct plan_object;
struct session;
struct upatch_template;

/* A payload's plan, as far as it goes without an address, and what is made from it. */
struct template
{
	struct plan_object *object; /* bias 0 */
	struct upatch_template *bytes;
	size_t size;
	int region;	  /* index in the record, -1 before */
	size_t nr_copies; /* objects in the meta */
};

/**
 * template_new() - plan it, for a payload with code
 * The target runs, nothing is written. Return: 0, or raised: as plan_new(), and UPATCH_E_RELOC_TYPE for what
 * cannot be put off.
 */
int template_new(struct session *session, const struct payload *payload, struct template *ret);
void template_deinit(struct template *template);

/**
 * template_make() - make its bytes, when record and agent are in place
 * Return: 0, or raised: UPATCH_E_RELOC_RANGE.
 */
int template_make(struct session *session, struct template *template);

#endif
