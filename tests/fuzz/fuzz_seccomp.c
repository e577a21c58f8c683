/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "target/seccomp.h"

/*
 * Input: a struct seccomp_data, a byte of what is known of its arguments, seven bytes of nothing, and a
 * filter. What is judged of it, without knowing all, must be true of what it does with that call.
 */
enum {
	HEADER_SIZE = sizeof(struct seccomp_data) + 8,
	SHIFT_MAX = 31,
};

struct state {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void load(struct state *s, const struct sock_filter *insn, const struct seccomp_data *data)
{
	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		assert(insn->k <= sizeof(*data) - sizeof(s->a));
		memcpy(&s->a, (const uint8_t *)data + insn->k, sizeof(s->a));
		break;
	case BPF_LD | BPF_W | BPF_LEN:
		s->a = sizeof(*data);
		break;
	case BPF_LDX | BPF_W | BPF_LEN:
		s->x = sizeof(*data);
		break;
	case BPF_LD | BPF_IMM:
		s->a = insn->k;
		break;
	case BPF_LDX | BPF_IMM:
		s->x = insn->k;
		break;
	default:
		assert(insn->k < BPF_MEMWORDS);
		*(BPF_CLASS(insn->code) == BPF_LD ? &s->a : &s->x) = s->memory[insn->k];
	}
}

/* Return: 1 when what comes out is not the same everywhere, or the end. */
static int compute(struct state *s, uint16_t op, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		s->a += b;
		break;
	case BPF_SUB:
		s->a -= b;
		break;
	case BPF_MUL:
		s->a *= b;
		break;
	case BPF_DIV:
		if (!b)
			return 1;
		s->a /= b;
		break;
	case BPF_OR:
		s->a |= b;
		break;
	case BPF_AND:
		s->a &= b;
		break;
	case BPF_XOR:
		s->a ^= b;
		break;
	case BPF_LSH:
	case BPF_RSH:
		if (b > SHIFT_MAX)
			return 1;
		s->a = op == BPF_LSH ? s->a << b : s->a >> b;
		break;
	default:
		assert(op == BPF_NEG);
		s->a = -s->a;
	}
	return 0;
}

static size_t jump(const struct state *s, const struct sock_filter *insn, uint32_t b)
{
	switch (BPF_OP(insn->code)) {
	case BPF_JA:
		return insn->k;
	case BPF_JEQ:
		return s->a == b ? insn->jt : insn->jf;
	case BPF_JGT:
		return s->a > b ? insn->jt : insn->jf;
	case BPF_JGE:
		return s->a >= b ? insn->jt : insn->jf;
	default:
		return s->a & b ? insn->jt : insn->jf;
	}
}

/* What the kernel would. Return: 0, or 1 if that is not known. */
static int run(const struct sock_filter *insns, size_t nr, const struct seccomp_data *data,
	       uint32_t *ret)
{
	struct state s = {};

	for (size_t i = 0;; i++) {
		const struct sock_filter *insn = &insns[i];
		uint32_t b = BPF_SRC(insns[MIN(i, nr - 1)].code) == BPF_X ? s.x
									  : insns[MIN(i, nr - 1)].k;

		assert(i < nr);
		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			*ret = BPF_RVAL(insn->code) == BPF_A ? s.a : insn->k;
			return 0;
		case BPF_JMP:
			i += jump(&s, insn, b);
			break;
		case BPF_ALU:
			if (compute(&s, BPF_OP(insn->code), b))
				return 1;
			break;
		case BPF_ST:
		case BPF_STX:
			assert(insn->k < BPF_MEMWORDS);
			s.memory[insn->k] = BPF_CLASS(insn->code) == BPF_ST ? s.a : s.x;
			break;
		case BPF_MISC:
			*(insn->code == (BPF_MISC | BPF_TAX) ? &s.x : &s.a) =
				insn->code == (BPF_MISC | BPF_TAX) ? s.a : s.x;
			break;
		default:
			load(&s, insn, data);
		}
	}
}

static enum seccomp_verdict verdict_of(uint32_t result)
{
	uint32_t action = result & SECCOMP_RET_ACTION_FULL;

	if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG)
		return SECCOMP_PERMITTED;
	return action == SECCOMP_RET_ERRNO && result != SECCOMP_RET_ERRNO ? SECCOMP_REFUSED
									  : SECCOMP_FATAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct seccomp_data data;
	struct seccomp_call call;
	struct seccomp seccomp = { .nr = 1 };
	enum seccomp_verdict verdict;
	uint16_t length;
	uint32_t result;

	if (size < HEADER_SIZE)
		return 0;
	memcpy(&data, input, sizeof(data));
	call = (struct seccomp_call){
		.arch = data.arch,
		.nr = (uint32_t)data.nr,
		.known = input[sizeof(data)],
	};
	memcpy(call.args, data.args, sizeof(call.args));
	size -= HEADER_SIZE;
	seccomp.nr_insns = length =
		(uint16_t)MIN(size / sizeof(struct sock_filter), (size_t)UINT16_MAX);
	seccomp.lengths = &length;
	seccomp.insns = malloc(length * sizeof(struct sock_filter) + 1);
	if (!seccomp.insns)
		abort();
	memcpy(seccomp.insns, input + HEADER_SIZE, length * sizeof(struct sock_filter));
	verdict = seccomp_judge(&seccomp, &call);
	if (verdict < SECCOMP_FATAL && run(seccomp.insns, length, &data, &result) == 0)
		assert(verdict_of(result) <= verdict);
	free(seccomp.insns);
	return 0;
}
