/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/diag.h"

enum {
	PIECES_MAX = 4096, /* of one function */
	PADDING_MAX = 4096,
	PIECE_SIZE_MAX = 16 << 20,
};

/* In front of a function's pieces. */
struct func_head {
	uint32_t nr_pieces;
	uint32_t padding;
};

/* In front of a piece's bytes. */
struct piece_head {
	uint64_t vaddr;
	uint64_t size;
};

void code_deinit(struct code *code)
{
	free(code->bytes);
	free(code->pieces);
	*code = (struct code){};
}

/* --- reading ----------------------------------------------------------------------------------- */

struct reader {
	struct diag *d;
	const uint8_t *bytes;
	size_t size;
	size_t at;
};

static int raise_bad(struct reader *rd, const struct payload_func *func, const char *what)
{
	struct diag_where where = { .function = func->name };

	return diag_err(rd->d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, &where, "its original code %s",
			what);
}

/* Borrowed bytes, NULL: there are not as many. */
static const uint8_t *take(struct reader *rd, uint64_t size)
{
	const uint8_t *bytes = rd->bytes + rd->at;

	if (size > rd->size - rd->at)
		return NULL;
	rd->at += size;
	return bytes;
}

static int read_piece(struct reader *rd, const struct payload_func *func, uint32_t padding,
		      struct payload_piece *ret)
{
	const uint8_t *bytes = take(rd, sizeof(struct piece_head));
	struct piece_head head;

	if (!bytes)
		return raise_bad(rd, func, "is cut off");
	memcpy(&head, bytes, sizeof(head));
	if (!head.size || head.size > PIECE_SIZE_MAX || head.vaddr + head.size < head.vaddr)
		return raise_bad(rd, func, "has a piece of an impossible size");
	*ret = (struct payload_piece){ head.vaddr, head.size, take(rd, head.size + padding) };
	return ret->bytes ? 0 : raise_bad(rd, func, "is cut off");
}

static int read_head(struct reader *rd, const struct payload_func *func, struct func_head *ret)
{
	const uint8_t *bytes = take(rd, sizeof(*ret));

	if (!bytes)
		return raise_bad(rd, func, "is cut off");
	memcpy(ret, bytes, sizeof(*ret));
	if (!ret->nr_pieces || ret->nr_pieces > PIECES_MAX || ret->padding > PADDING_MAX)
		return raise_bad(rd, func, "has an impossible number of pieces");
	return 0;
}

static int read_func(struct reader *rd, struct payload_func *func, struct code *code,
		     size_t *nr_pieces)
{
	struct func_head head = {};
	size_t first = *nr_pieces;
	int r;

	r = read_head(rd, func, &head);
	for (uint32_t i = 0; i < head.nr_pieces && r >= 0; i++) {
		size_t alloc = *nr_pieces;

		if (!array_grow(code->pieces, *nr_pieces, alloc))
			return diag_oom(rd->d);
		r = read_piece(rd, func, i ? 0 : head.padding, &code->pieces[(*nr_pieces)++]);
	}
	if (r < 0)
		return r;
	if (func->old_value != code->pieces[first].vaddr ||
	    func->old_size != code->pieces[first].size)
		return raise_bad(rd, func, "is that of another function");
	func->nr_pieces = head.nr_pieces;
	func->padding = head.padding;
	return 0;
}

int code_parse(struct diag *d, const uint8_t *bytes, size_t size, struct payload_func *funcs,
	       size_t nr_funcs, struct code *ret)
{
	struct code code = { .bytes = malloc(size + 1) };
	struct reader rd = { d, code.bytes, size, 0 };
	size_t nr_pieces = 0;
	int r = 0;

	if (!code.bytes)
		return diag_oom(d);
	memcpy(code.bytes, bytes, size);
	for (size_t i = 0; i < nr_funcs && r >= 0; i++)
		r = read_func(&rd, &funcs[i], &code, &nr_pieces);
	if (r >= 0 && nr_funcs && rd.at != size)
		r = raise_bad(&rd, &funcs[nr_funcs - 1], "is followed by something else");
	/* They do not move any more. */
	nr_pieces = 0;
	for (size_t i = 0; i < nr_funcs && r >= 0; i++) {
		funcs[i].pieces = &code.pieces[nr_pieces];
		nr_pieces += funcs[i].nr_pieces;
	}
	if (r < 0) {
		code_deinit(&code);
		return r;
	}
	*ret = code;
	return 0;
}

/* --- writing ----------------------------------------------------------------------------------- */

static size_t piece_bytes(const struct payload_func *func, size_t index)
{
	return func->pieces[index].size + (index ? 0 : func->padding);
}

uint8_t *code_format(const struct payload_func *funcs, size_t nr_funcs, size_t *ret_size)
{
	size_t size = 0;
	uint8_t *bytes, *at;

	for (size_t i = 0; i < nr_funcs; i++) {
		size += sizeof(struct func_head);
		for (size_t n = 0; n < funcs[i].nr_pieces; n++)
			size += sizeof(struct piece_head) + piece_bytes(&funcs[i], n);
	}
	at = bytes = malloc(size + 1);
	for (size_t i = 0; bytes && i < nr_funcs; i++) {
		const struct func_head head = { (uint32_t)funcs[i].nr_pieces,
						(uint32_t)funcs[i].padding };

		at = (uint8_t *)memcpy(at, &head, sizeof(head)) + sizeof(head);
		for (size_t n = 0; n < funcs[i].nr_pieces; n++) {
			const struct payload_piece *piece = &funcs[i].pieces[n];
			const struct piece_head piece_head = { piece->vaddr, piece->size };

			at = (uint8_t *)memcpy(at, &piece_head, sizeof(piece_head)) +
			     sizeof(piece_head);
			at = (uint8_t *)memcpy(at, piece->bytes, piece_bytes(&funcs[i], n)) +
			     piece_bytes(&funcs[i], n);
		}
	}
	*ret_size = size;
	return bytes;
}
