/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "target/thread.h"

enum {
	/* More than anybody has; finding the n-th takes the kernel n steps. */
	FILTERS_MAX = 512,
	SHIFT_MAX = 31,
	/* Words of the machine. */
	WORD_A = BPF_MEMWORDS,
	WORD_X,
	NR_WORDS,
};

/* --- reading ------------------------------------------------------------------------------------- */

/* Room for the longest one is made beforehand: the thread waits for us. */
static int reserve(struct seccomp *s)
{
	struct sock_filter *insns =
		reallocarray(s->insns, s->nr_insns + BPF_MAXINSNS, sizeof(*insns));
	uint16_t *lengths;

	if (!insns)
		return -ENOMEM;
	s->insns = insns;
	lengths = reallocarray(s->lengths, FILTERS_MAX, sizeof(*lengths));
	if (!lengths)
		return -ENOMEM;
	s->lengths = lengths;
	return 0;
}

int seccomp_read(const struct thread *thread, struct seccomp *ret)
{
	int r;

	ret->nr = ret->nr_insns = 0;
	for (;;) {
		long length;

		r = reserve(ret);
		if (r < 0)
			return r;
		length = ptrace(PTRACE_SECCOMP_GET_FILTER, thread->tid, ret->nr,
				&ret->insns[ret->nr_insns]);
		if (length < 0 && errno == ENOENT && ret->nr)
			return 0;
		if (length < 0)
			return -errno;
		if (length > BPF_MAXINSNS || ret->nr == FILTERS_MAX)
			return -E2BIG;
		ret->lengths[ret->nr++] = (uint16_t)length;
		ret->nr_insns += (size_t)length;
	}
}

void seccomp_deinit(struct seccomp *seccomp)
{
	free(seccomp->insns);
	free(seccomp->lengths);
	*seccomp = (struct seccomp){};
}

bool seccomp_is_equal(const struct seccomp *a, const struct seccomp *b)
{
	return a->nr == b->nr && a->nr_insns == b->nr_insns &&
	       memcmp(a->lengths, b->lengths, a->nr * sizeof(*a->lengths)) == 0 &&
	       memcmp(a->insns, b->insns, a->nr_insns * sizeof(*a->insns)) == 0;
}

/* --- what is a program --------------------------------------------------------------------------- */

static bool is_valid_alu(const struct sock_filter *insn)
{
	bool is_constant = BPF_SRC(insn->code) == BPF_K;

	switch (BPF_OP(insn->code)) {
	case BPF_DIV:
		return !is_constant || insn->k;
	case BPF_LSH:
	case BPF_RSH:
		return !is_constant || insn->k <= SHIFT_MAX;
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		return true;
	case BPF_NEG:
		return is_constant;
	default:
		return false;
	}
}

static bool is_valid_jump(const struct sock_filter *insn, size_t left)
{
	switch (BPF_OP(insn->code)) {
	case BPF_JA:
		return BPF_SRC(insn->code) == BPF_K && insn->k < left;
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return insn->jt < left && insn->jf < left;
	default:
		return false;
	}
}

/* seccomp_check_filter() and bpf_check_classic() in the kernel; @left: instructions behind it. */
static bool is_valid_insn(const struct sock_filter *insn, size_t left)
{
	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return insn->k < sizeof(struct seccomp_data) && insn->k % sizeof(uint32_t) == 0;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return insn->k < BPF_MEMWORDS;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
		return true;
	}
	if (insn->code > UINT8_MAX)
		return false;
	if (BPF_CLASS(insn->code) == BPF_ALU)
		return is_valid_alu(insn);
	return BPF_CLASS(insn->code) == BPF_JMP && is_valid_jump(insn, left);
}

static bool is_valid(const struct sock_filter *insns, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!is_valid_insn(&insns[i], nr - 1 - i))
			return false;
	return nr && nr <= BPF_MAXINSNS && BPF_CLASS(insns[nr - 1].code) == BPF_RET;
}

/* --- the machine --------------------------------------------------------------------------------- */

struct word {
	uint32_t value; /* 0 when it is not known, so that equal ones have equal bytes */
	bool is_known;
};

/* Just before an instruction. */
struct machine {
	bool is_reached;
	struct word words[NR_WORDS];
};

struct walk {
	const struct sock_filter *insns;
	const struct seccomp_call *call;
	struct machine *machines; /* one for each instruction */
	enum seccomp_verdict worst;
};

static struct word known(uint32_t value)
{
	return (struct word){ value, true };
}

static struct word unknown(void)
{
	return (struct word){};
}

static struct word load(const struct seccomp_call *call, uint32_t offset)
{
	struct seccomp_data data = { .nr = (int)call->nr, .arch = call->arch };
	size_t arg = (offset - offsetof(struct seccomp_data, args)) / sizeof(data.args[0]);
	uint32_t value;

	memcpy(data.args, call->args, sizeof(data.args));
	if (offset >= offsetof(struct seccomp_data, instruction_pointer) &&
	    (offset < offsetof(struct seccomp_data, args) || !(call->known >> arg & 1)))
		return unknown();
	memcpy(&value, (const uint8_t *)&data + offset, sizeof(value));
	return known(value);
}

/* Both are known. A shift by more than there is to shift has no meaning that all kernels share. */
static struct word compute(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		return known(a + b);
	case BPF_SUB:
		return known(a - b);
	case BPF_MUL:
		return known(a * b);
	case BPF_DIV:
		return b ? known(a / b) : unknown();
	case BPF_OR:
		return known(a | b);
	case BPF_AND:
		return known(a & b);
	case BPF_XOR:
		return known(a ^ b);
	case BPF_LSH:
		return b <= SHIFT_MAX ? known(a << b) : unknown();
	case BPF_RSH:
		return b <= SHIFT_MAX ? known(a >> b) : unknown();
	default:
		return known(-a); /* BPF_NEG */
	}
}

static struct word operand(const struct machine *m, const struct sock_filter *insn)
{
	return BPF_SRC(insn->code) == BPF_X ? m->words[WORD_X] : known(insn->k);
}

static void raise_worst(struct walk *walk, enum seccomp_verdict verdict)
{
	walk->worst = MAX(walk->worst, verdict);
}

static void calculate(struct walk *walk, struct machine *m, const struct sock_filter *insn)
{
	struct word a = m->words[WORD_A], b = operand(m, insn);
	uint16_t op = BPF_OP(insn->code);

	/* Who divides by 0 has returned 0, which kills. */
	if (op == BPF_DIV && (!b.is_known || !b.value))
		raise_worst(walk, SECCOMP_FATAL);
	if (op == BPF_AND && b.is_known && !b.value)
		m->words[WORD_A] = known(0);
	else
		m->words[WORD_A] = a.is_known && b.is_known ? compute(op, a.value, b.value)
							    : unknown();
}

static bool is_taken(uint16_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default:
		return a & b; /* BPF_JSET */
	}
}

/* The machine may come to an instruction like that. */
static void reach(struct walk *walk, size_t index, const struct machine *m)
{
	struct machine *there = &walk->machines[index];

	if (!there->is_reached) {
		*there = *m;
		return;
	}
	for (size_t i = 0; i < NR_WORDS; i++)
		if (!m->words[i].is_known || m->words[i].value != there->words[i].value)
			there->words[i] = unknown();
}

static void jump(struct walk *walk, size_t index, const struct machine *m)
{
	const struct sock_filter *insn = &walk->insns[index];
	struct word a = m->words[WORD_A], b = operand(m, insn);
	uint16_t op = BPF_OP(insn->code);
	bool is_known = a.is_known && b.is_known;

	if (op == BPF_JA) {
		reach(walk, index + 1 + insn->k, m);
		return;
	}
	if (!is_known || is_taken(op, a.value, b.value))
		reach(walk, index + 1 + insn->jt, m);
	if (!is_known || !is_taken(op, a.value, b.value))
		reach(walk, index + 1 + insn->jf, m);
}

static enum seccomp_verdict verdict_of(struct word result)
{
	if (!result.is_known)
		return SECCOMP_FATAL;
	switch (result.value & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return SECCOMP_PERMITTED;
	case SECCOMP_RET_ERRNO:
		/* Error number 0 says that it was done. */
		return result.value & SECCOMP_RET_DATA ? SECCOMP_REFUSED : SECCOMP_FATAL;
	default:
		return SECCOMP_FATAL;
	}
}

/* What is no jump, and no return. */
static void execute(struct walk *walk, struct machine *m, const struct sock_filter *insn)
{
	struct word *a = &m->words[WORD_A], *x = &m->words[WORD_X];

	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		*a = load(walk->call, insn->k);
		break;
	case BPF_LD | BPF_W | BPF_LEN:
		*a = known(sizeof(struct seccomp_data));
		break;
	case BPF_LDX | BPF_W | BPF_LEN:
		*x = known(sizeof(struct seccomp_data));
		break;
	case BPF_LD | BPF_IMM:
		*a = known(insn->k);
		break;
	case BPF_LDX | BPF_IMM:
		*x = known(insn->k);
		break;
	case BPF_LD | BPF_MEM:
		*a = m->words[insn->k];
		break;
	case BPF_LDX | BPF_MEM:
		*x = m->words[insn->k];
		break;
	case BPF_ST:
		m->words[insn->k] = *a;
		break;
	case BPF_STX:
		m->words[insn->k] = *x;
		break;
	case BPF_MISC | BPF_TAX:
		*x = *a;
		break;
	case BPF_MISC | BPF_TXA:
		*a = *x;
		break;
	default:
		calculate(walk, m, insn);
	}
}

static void step(struct walk *walk, size_t index)
{
	const struct sock_filter *insn = &walk->insns[index];
	struct machine m = walk->machines[index];

	switch (BPF_CLASS(insn->code)) {
	case BPF_RET:
		raise_worst(walk, verdict_of(BPF_RVAL(insn->code) == BPF_A ? m.words[WORD_A]
									   : known(insn->k)));
		break;
	case BPF_JMP:
		jump(walk, index, &m);
		break;
	default:
		execute(walk, &m, insn);
		reach(walk, index + 1, &m); /* there is one: the last one returns */
	}
}

static enum seccomp_verdict judge_one(const struct sock_filter *insns, size_t nr,
				      const struct seccomp_call *call)
{
	_cleanup_free_ struct machine *machines = calloc(nr + 1, sizeof(*machines));
	struct walk walk = { .insns = insns, .call = call, .machines = machines };

	if (!machines || !is_valid(insns, nr))
		return SECCOMP_FATAL;
	machines[0].is_reached = true;
	for (size_t i = 0; i < nr; i++)
		if (machines[i].is_reached)
			step(&walk, i);
	return walk.worst;
}

enum seccomp_verdict seccomp_judge(const struct seccomp *seccomp, const struct seccomp_call *call)
{
	enum seccomp_verdict worst = SECCOMP_PERMITTED;
	size_t at = 0;

	for (size_t i = 0; i < seccomp->nr && worst < SECCOMP_FATAL; i++) {
		worst = MAX(worst, judge_one(&seccomp->insns[at], seccomp->lengths[i], call));
		at += seccomp->lengths[i];
	}
	return worst;
}
