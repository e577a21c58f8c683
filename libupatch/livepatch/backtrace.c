/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/backtrace.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/session.h"
#include "target/unwind.h"

/* In the code of a patch: the replacement, or something else in its payload. */
static void name_in_payload(struct session *s, uint64_t addr, struct backtrace_name *ret)
{
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_meta *meta = s->record.metas[i];

		for (uint32_t n = 0; meta && n < meta->nr_funcs; n++) {
			const struct upatch_meta_func *f = &meta_funcs(meta)[n];

			if (addr >= f->new_addr && addr - f->new_addr < f->new_size) {
				ret->function = meta_string(meta, f->name);
				ret->offset = addr - f->new_addr;
			}
		}
		for (uint32_t n = 0; meta && n < meta->nr_objects; n++) {
			const struct upatch_meta_object *o = &meta_objects(meta)[n];

			if (addr >= o->payload_addr && addr - o->payload_addr < o->payload_size)
				ret->object = meta->name;
		}
	}
}

void backtrace_prepare(struct session *session)
{
	for (size_t i = 0; i < session->objects.nr; i++) {
		struct object *o = &session->objects.objects[i];
		const struct symtab *symtab;
		struct symbol symbol;

		/* The first look by address makes its index; what has no names stays without. */
		if (o->image && image_symtab(o->image, NULL, &symtab) == 0)
			(void)symtab_at(symtab, 0, &symbol);
	}
}

void backtrace_name(struct session *session, uint64_t addr, struct backtrace_name *ret)
{
	struct object *o = object_list_at(&session->objects, addr);
	const struct symtab *symtab;
	struct symbol symbol;

	*ret = (struct backtrace_name){};
	if (!o) {
		name_in_payload(session, addr, ret);
		return;
	}
	ret->object = o->name;
	if (o->image && image_symtab(o->image, NULL, &symtab) == 0 &&
	    symtab_at(symtab, addr - o->bias, &symbol) == 0) {
		ret->function = symbol.name;
		ret->offset = addr - o->bias - symbol.value;
	}
}

char *backtrace_format(struct session *session, const struct unwind_stack *stack)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < stack->nr; i++) {
		const struct unwind_frame *frame = &stack->frames[i];
		struct backtrace_name name;

		backtrace_name(session, frame->is_exact ? frame->pc : frame->pc - 1, &name);
		fprintf(f, "%s#%zu 0x%llx", i ? "\n" : "", i, (unsigned long long)frame->pc);
		if (name.function)
			fprintf(f, " %s+0x%llx", name.function,
				(unsigned long long)(name.offset + !frame->is_exact));
		if (name.object)
			fprintf(f, " (%s)", name.object);
	}
	if (stack->lost_at)
		fprintf(f, "\nlost at 0x%llx", (unsigned long long)stack->lost_at);
	if (fclose(f) != 0)
		return NULL;
	return take_ptr(text);
}
