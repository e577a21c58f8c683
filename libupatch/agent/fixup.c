/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/fixup.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/dl_map.h"

static const struct upatch_template_symbol *symbols(const struct upatch_template *t)
{
	return (const void *)((const uint8_t *)t + t->symbols_offset);
}

static const char *string(const struct upatch_template *t, uint32_t offset)
{
	return (const char *)t + t->strings_offset + offset;
}

static uint64_t word_at(const struct dl_map *map, uint32_t offset)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)map + offset, sizeof(word));
	return word;
}

/* glibc, include/link.h: an offset of 0 is not decided yet, -1 never will be in the static block. */
static uint32_t find_tls(const struct dl_map *map, uint64_t offset, struct fixup_value *ret)
{
	uint64_t block;

	if (!agent_data.tls_module_offset || !agent_data.tls_offset_offset)
		return UPATCH_REFUSED_TLS;
	block = word_at(map, agent_data.tls_offset_offset);
	ret->tls_module = word_at(map, agent_data.tls_module_offset);
	ret->value = offset;
	ret->tp_offset = (int64_t)(offset - block);
	ret->has_tp_offset = block && block != UINT64_MAX;
	return 0;
}

static uint32_t find_extern(const struct fixup *f, const struct upatch_template_symbol *s,
			    struct fixup_value *ret)
{
	const struct upatch_template *t = f->template;
	const char *version = s->version ? string(t, s->version) : NULL;
	struct lookup_symbol found;
	const struct dl_map *in;

	if (!dl_scope_find(f->scope, string(t, s->name), version, &found, &in))
		return s->flags & UPATCH_SYMBOL_WEAK ? 0 : UPATCH_REFUSED_UNRESOLVED;
	if (found.type == STT_TLS)
		return find_tls(in, found.value, ret);
	ret->value = found.value;
	/* It and what it needs are relocated by now. */
	if (found.type == STT_GNU_IFUNC)
		ret->value = ((uint64_t(*)(void))(uintptr_t)found.value)();
	return ret->value ? 0 : UPATCH_REFUSED_UNRESOLVED;
}

static uint32_t find(const struct fixup *f, uint32_t index)
{
	const struct upatch_template_symbol *s = &symbols(f->template)[index];
	struct fixup_value *v = &f->values[index];
	uint32_t r = 0;

	if (v->is_known)
		return 0;
	switch (s->kind) {
	case UPATCH_SYMBOL_PAYLOAD:
		v->value = f->payload + s->value;
		break;
	case UPATCH_SYMBOL_OBJECT:
		if (s->flags & UPATCH_SYMBOL_TLS)
			r = find_tls(f->scope->map, s->value, v);
		else
			v->value = f->bias + s->value;
		break;
	case UPATCH_SYMBOL_GATEWAY:
		v->value = f->gateways[s->value];
		break;
	case UPATCH_SYMBOL_EXTERN:
		r = find_extern(f, s, v);
		break;
	default:
		v->value = s->value;
	}
	v->is_known = !r;
	return r;
}

static uint32_t store32(uint8_t *place, uint64_t value, bool is_signed)
{
	uint32_t low = (uint32_t)value;

	if (is_signed ? (int64_t)value != (int32_t)low : value != low)
		return UPATCH_REFUSED_RANGE;
	memcpy(place, &low, sizeof(low));
	return 0;
}

static uint32_t store64(uint8_t *place, uint64_t value)
{
	memcpy(place, &value, sizeof(value));
	return 0;
}

static uint32_t apply(const struct fixup *f, const struct upatch_fixup *it, uint8_t *bytes)
{
	const struct fixup_value *v = &f->values[it->symbol];
	uint64_t value = v->value + (uint64_t)it->addend;
	uint64_t tp = (uint64_t)v->tp_offset + (uint64_t)it->addend;
	uint8_t *place = bytes + it->offset;

	switch (it->type) {
	case UPATCH_FIXUP_64:
	case UPATCH_FIXUP_TLS_OFFSET:
		return store64(place, value);
	case UPATCH_FIXUP_32:
		return store32(place, value, false);
	case UPATCH_FIXUP_32S:
	case UPATCH_FIXUP_TLS_OFFSET32:
		return store32(place, value, true);
	case UPATCH_FIXUP_PC32:
		return store32(place, value - (f->payload + it->offset), true);
	case UPATCH_FIXUP_PC64:
		return store64(place, value - (f->payload + it->offset));
	case UPATCH_FIXUP_TLS_MODULE:
		return store64(place, v->tls_module);
	case UPATCH_FIXUP_TP_OFFSET:
		return v->has_tp_offset ? store64(place, tp) : UPATCH_REFUSED_TLS;
	case UPATCH_FIXUP_TP_OFFSET32:
		return v->has_tp_offset ? store32(place, tp, true) : UPATCH_REFUSED_TLS;
	default:
		return UPATCH_REFUSED_RANGE;
	}
}

uint32_t fixup_apply(const struct fixup *fixup, uint8_t *bytes, const char **ret_name)
{
	const struct upatch_template *t = fixup->template;
	const struct upatch_fixup *fixups = (const void *)((const uint8_t *)t + t->fixups_offset);

	for (uint32_t i = 0; i < t->nr_fixups; i++) {
		uint32_t r = find(fixup, fixups[i].symbol);

		if (!r)
			r = apply(fixup, &fixups[i], bytes);
		if (r) {
			*ret_name = string(t, symbols(t)[fixups[i].symbol].name);
			return r;
		}
	}
	return 0;
}

uint32_t fixup_add32(uint8_t *place, int64_t delta)
{
	int32_t value;

	memcpy(&value, place, sizeof(value));
	return store32(place, (uint64_t)(value + delta), true);
}
