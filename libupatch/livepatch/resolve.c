/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/resolve.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/agent.h"
#include "livepatch/load.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/linkmap.h"

static int take(struct session *s, struct object *o, const struct symbol *found,
		struct load_symbol *ret)
{
	struct linkmap_tls tls;
	int r;

	if (found->type != STT_TLS) {
		ret->value = found->value + o->bias;
		ret->size = found->size;
		ret->is_ifunc = found->type == STT_GNU_IFUNC;
		return 0;
	}
	r = linkmap_tls(&s->objects, o, &tls);
	if (r < 0)
		return r;
	ret->is_tls = true;
	ret->size = found->size;
	ret->dtpoff = (int64_t)found->value;
	ret->tls_module = tls.module;
	ret->has_tpoff = tls.has_tpoff;
	ret->tpoff = tls.tpoff + (int64_t)found->value;
	return 0;
}

static int symtab_of(struct session *s, struct object *o, const struct symtab **ret)
{
	struct image *image;
	int r;

	r = object_image(&s->objects, o, &image);
	if (r < 0)
		return r;
	return image_symtab(image, s->diag, ret);
}

static int compare_load_order(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	return (x->load_order > y->load_order) - (x->load_order < y->load_order);
}

/* The objects of the dynamic linker's list, in its order; without one, the object alone. */
static size_t search_scope(struct session *s, struct object *object, struct object **scope)
{
	size_t nr = 0;

	for (size_t i = 0; i < s->objects.nr; i++)
		if (s->objects.objects[i].load_order >= 0)
			scope[nr++] = &s->objects.objects[i];
	qsort(scope, nr, sizeof(*scope), compare_load_order);
	if (object->load_order < 0)
		scope[nr++] = object;
	return nr;
}

static int find_unexported(const struct symtab *symtab, const char *name, struct symbol *ret)
{
	struct symbol found;

	if (symtab_find(symtab, NULL, "", name, 0, SYMBOL_ANY, &found) < 0 ||
	    found.bind == STB_LOCAL)
		return -ENOENT;
	*ret = found;
	return 0;
}

int resolve_extern(struct session *session, struct object *object,
		   const struct payload_symbol *symbol, struct load_symbol *ret)
{
	struct diag_where where = { .object = object->name };
	_cleanup_free_ struct object **scope = calloc(session->objects.nr + 1, sizeof(*scope));
	const struct symtab *symtab;
	struct symbol found;
	size_t nr;
	int r;

	if (!scope)
		return diag_oom(session->diag);
	if (agent_has_export(symbol->name)) {
		ret->is_agent = true;
		return 0;
	}
	nr = search_scope(session, object, scope);
	for (size_t i = 0; i < nr; i++) {
		r = symtab_of(session, scope[i], &symtab);
		if (r < 0)
			return r;
		if (symtab_find_export(symtab, symbol->name, symbol->version, &found) == 0)
			return take(session, scope[i], &found, ret);
	}
	r = symtab_of(session, object, &symtab);
	if (r < 0)
		return r;
	if (!symbol->version && find_unexported(symtab, symbol->name, &found) == 0)
		return take(session, object, &found, ret);
	if (symbol->bind == STB_WEAK)
		return 0;
	return diag_err(session->diag, -ENOENT, UPATCH_E_UNRESOLVED, &where,
			"the replacement refers to '%s%s%s', which no object in the target exports",
			symbol->name, symbol->version ? "@" : "",
			symbol->version ? symbol->version : "");
}

int resolve_private(struct session *session, struct object *object,
		    const struct payload_symbol *symbol, struct load_symbol *ret)
{
	const struct symtab *symtab;
	struct symbol found;
	int r;

	if (symbol->value) {
		/* The builder looked it up; the build ID makes that good for this target. */
		found = (struct symbol){
			.value = symbol->value,
			.size = symbol->size,
			.type = symbol->type,
		};
		return take(session, object, &found, ret);
	}
	r = symtab_of(session, object, &symtab);
	if (r < 0)
		return r;
	r = symtab_find(symtab, session->diag, object->name, symbol->name, symbol->sympos,
			SYMBOL_ANY, &found);
	if (r < 0)
		return r;
	return take(session, object, &found, ret);
}
