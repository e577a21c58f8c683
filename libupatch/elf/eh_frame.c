/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/eh_frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"

/* DWARF pointer encodings, LSB 5.0 Core 10.5.1. */
enum {
	ENC_ABSPTR = 0x00,
	ENC_UDATA4 = 0x03,
	ENC_UDATA8 = 0x04,
	ENC_SDATA4 = 0x0b,
	ENC_SDATA8 = 0x0c,
	ENC_FORMAT = 0x0f,
	ENC_PCREL = 0x10,
	ENC_BASE = 0x70,
	ENC_DATAREL = 0x30,
	HDR_SIZE = 12,
	ENTRY_SIZE = 8,
	AUGMENTATION_MAX = 16, /* "zPLRSB" and its end is all there is; read for each FDE */
};

struct bytes {
	const uint8_t *p;
	const uint8_t *end;
};

struct fde {
	uint64_t start;
	uint64_t size;
	uint64_t addr;
};

static bool take(struct bytes *b, void *ret, size_t size)
{
	if (size > (size_t)(b->end - b->p))
		return false;
	memcpy(ret, b->p, size);
	b->p += size;
	return true;
}

static bool take_leb(struct bytes *b, uint64_t *ret)
{
	unsigned int shift = 0;
	uint8_t byte;

	*ret = 0;
	do {
		if (!take(b, &byte, 1) || shift > 63)
			return false;
		*ret |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return true;
}

static size_t encoded_size(uint8_t enc)
{
	switch (enc & ENC_FORMAT) {
	case ENC_UDATA4:
	case ENC_SDATA4:
		return 4;
	case ENC_ABSPTR:
	case ENC_UDATA8:
	case ENC_SDATA8:
		return 8;
	default:
		return 0;
	}
}

/* @addr: of the field, for pcrel. */
static bool take_encoded(struct bytes *b, uint8_t enc, uint64_t addr, uint64_t *ret)
{
	uint64_t value = 0;
	size_t size = encoded_size(enc);

	if (!size || !take(b, &value, size))
		return false;
	if ((enc & ENC_FORMAT) == ENC_SDATA4)
		value = (uint64_t)(int64_t)(int32_t)value;
	if ((enc & ENC_BASE) == ENC_PCREL)
		value += addr;
	else if (enc & ENC_BASE)
		return false;
	*ret = value;
	return true;
}

/* The encoding of addresses in the FDEs of a CIE: what follows 'R' in its augmentation. */
static bool parse_cie(struct bytes b, uint8_t *ret_enc)
{
	const char *augmentation;
	uint64_t ignored;
	uint8_t version, enc;

	*ret_enc = ENC_ABSPTR;
	if (!take(&b, &version, 1) || (version != 1 && version != 3))
		return false;
	augmentation = (const char *)b.p;
	if (!memchr(b.p, '\0', MIN((size_t)(b.end - b.p), (size_t)AUGMENTATION_MAX)))
		return false;
	b.p += strlen(augmentation) + 1;
	if (!take_leb(&b, &ignored) || !take_leb(&b, &ignored)) /* alignment factors */
		return false;
	if (version == 1 ? !take(&b, &enc, 1) : !take_leb(&b, &ignored)) /* return address */
		return false;
	if (*augmentation != 'z')
		return !*augmentation;
	if (!take_leb(&b, &ignored))
		return false;
	for (augmentation++; *augmentation; augmentation++) {
		switch (*augmentation) {
		case 'R':
			return take(&b, ret_enc, 1);
		case 'L':
			if (!take(&b, &enc, 1))
				return false;
			break;
		case 'P':
			if (!take(&b, &enc, 1) || !encoded_size(enc) ||
			    encoded_size(enc) > (size_t)(b.end - b.p))
				return false;
			b.p += encoded_size(enc);
			break;
		case 'S':
		case 'B':
			break;
		default:
			return false;
		}
	}
	return true;
}

/* One record: its contents behind the length, and where they start. */
static int next_record(struct bytes *b, const uint8_t *base, struct bytes *ret, size_t *ret_offset)
{
	uint32_t length;

	if (b->p == b->end)
		return 0;
	if (!take(b, &length, sizeof(length)))
		return -EINVAL;
	if (length == 0)
		return 0;
	/* 0xffffffff announces a 64-bit length, which no compiler emits here. */
	if (length < 4 || length > (size_t)(b->end - b->p))
		return -EINVAL;
	*ret_offset = (size_t)(b->p - base);
	*ret = (struct bytes){ b->p, b->p + length };
	b->p += length;
	return 1;
}

static int parse_fde(const uint8_t *eh_frame, size_t size, uint64_t addr, struct bytes record,
		     size_t offset, struct fde *ret)
{
	struct bytes cie;
	uint32_t id, length, cie_id;
	uint8_t enc;
	size_t cie_offset;

	/* The distance back from this very field. */
	if (!take(&record, &id, sizeof(id)) || id > offset)
		return -EINVAL;
	cie_offset = offset - id;
	cie = (struct bytes){ eh_frame + cie_offset, eh_frame + size };
	if (!take(&cie, &length, sizeof(length)) || length > (size_t)(cie.end - cie.p))
		return -EINVAL;
	cie.end = cie.p + length;
	if (!take(&cie, &cie_id, sizeof(cie_id)) || cie_id != 0 || !parse_cie(cie, &enc) ||
	    !take_encoded(&record, enc, addr + offset + sizeof(id), &ret->start) ||
	    !take_encoded(&record, enc & ENC_FORMAT, 0, &ret->size))
		return -EINVAL;
	ret->addr = addr + offset - sizeof(length);
	return 0;
}

/* Return: number of FDEs, or -EINVAL, -ENOMEM. @ret may be NULL. */
static int64_t parse(const uint8_t *eh_frame, size_t size, uint64_t addr, struct fde **ret)
{
	_cleanup_free_ struct fde *fdes = NULL;
	struct bytes all = { eh_frame, eh_frame + size }, record;
	size_t nr = 0, alloc = 0, offset;
	uint32_t id;
	int r;

	while ((r = next_record(&all, eh_frame, &record, &offset)) > 0) {
		memcpy(&id, record.p, sizeof(id));
		if (id == 0)
			continue; /* a CIE; parsed when an FDE refers to it */
		if (!array_grow(fdes, nr, alloc))
			return -ENOMEM;
		r = parse_fde(eh_frame, size, addr, record, offset, &fdes[nr]);
		if (r < 0)
			return r;
		nr++;
	}
	if (r < 0)
		return r;
	if (ret)
		*ret = take_ptr(fdes);
	return (int64_t)nr;
}

static int64_t raise_bad(struct diag *d, int64_t error)
{
	if (error == -ENOMEM)
		return diag_oom(d);
	return diag_err(d, (int)error, UPATCH_E_BAD_PATCHFILE, NULL,
			"the payload's .eh_frame is malformed");
}

int64_t eh_frame_hdr_size(struct diag *d, const uint8_t *eh_frame, size_t size)
{
	int64_t nr = parse(eh_frame, size, 0, NULL);

	return nr < 0 ? raise_bad(d, nr) : HDR_SIZE + nr * ENTRY_SIZE;
}

static int compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static bool put_relative(uint8_t *buf, uint64_t addr, uint64_t base)
{
	int64_t value = (int64_t)(addr - base);
	int32_t value32 = (int32_t)value;

	memcpy(buf, &value32, sizeof(value32));
	return value == value32;
}

int64_t eh_frame_hdr_build(struct diag *d, const uint8_t *eh_frame, size_t size,
			   uint64_t eh_frame_addr, uint64_t hdr_addr, uint8_t *buf, size_t capacity)
{
	static const uint8_t head[] = { 1, ENC_PCREL | ENC_SDATA4, ENC_UDATA4,
					ENC_DATAREL | ENC_SDATA4 };
	_cleanup_free_ struct fde *fdes = NULL;
	int64_t nr = parse(eh_frame, size, eh_frame_addr, &fdes);
	uint32_t count = (uint32_t)nr;
	bool fits;

	if (nr < 0)
		return raise_bad(d, nr);
	if ((uint64_t)nr > UINT32_MAX || HDR_SIZE + (uint64_t)nr * ENTRY_SIZE > capacity)
		return raise_bad(d, -EINVAL);
	if (nr)
		qsort(fdes, (size_t)nr, sizeof(*fdes), compare_fdes);
	memcpy(buf, head, sizeof(head));
	fits = put_relative(buf + 4, eh_frame_addr, hdr_addr + 4);
	memcpy(buf + 8, &count, sizeof(count));
	for (int64_t i = 0; i < nr; i++) {
		uint8_t *entry = buf + HDR_SIZE + i * ENTRY_SIZE;

		fits = put_relative(entry, fdes[i].start, hdr_addr) && fits;
		fits = put_relative(entry + 4, fdes[i].addr, hdr_addr) && fits;
	}
	return fits ? HDR_SIZE + nr * ENTRY_SIZE : raise_bad(d, -EINVAL);
}

int64_t eh_frame_ranges(const uint8_t *eh_frame, size_t size, uint64_t addr,
			struct eh_frame_range **ret)
{
	_cleanup_free_ struct fde *fdes = NULL;
	int64_t nr = parse(eh_frame, size, addr, &fdes);
	struct eh_frame_range *ranges;

	if (nr < 0)
		return nr;
	ranges = calloc((size_t)nr + 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	if (nr)
		qsort(fdes, (size_t)nr, sizeof(*fdes), compare_fdes);
	for (int64_t i = 0; i < nr; i++)
		ranges[i] = (struct eh_frame_range){ fdes[i].start, fdes[i].size };
	*ret = ranges;
	return nr;
}
