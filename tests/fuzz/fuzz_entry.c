/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arch/arch.h"
#include "base/array.h"

/*
 * Input: bytes 0..15 choose, the rest is code. It is planned and moved as a function, and then
 * relocated as a section.
 */
enum {
	HEADER_SIZE = 16,
	CODE_MAX = 4096,
};

#define CODE_ADDR 0x7f0000401000ull

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void fuzz_entry(const uint8_t *header, const uint8_t *code, size_t size)
{
	size_t padding = header[0] % 32, cold = header[1];
	struct arch_code pieces[2] = { { .addr = CODE_ADDR } };
	struct arch_func func = { .pieces = pieces, .nr_pieces = 1 };
	uint64_t gateway_addr = CODE_ADDR + header[2] * 0x1000000ull;
	struct arch_entry entry;
	uint8_t gateway[256];

	if (padding + cold > size)
		return;
	pieces[0].bytes = code;
	pieces[0].size = size - padding - cold;
	if (cold) {
		pieces[1] = (struct arch_code){ CODE_ADDR + 0x10000, code + size - cold, cold };
		func.nr_pieces = 2;
	}
	func.padding = padding;
	if (arch_x86_64.entry_plan(NULL, &func, &entry) < 0)
		return;
	assert(entry.size <= entry.covered && entry.covered <= ARCH_ENTRY_MAX);
	assert(entry.nr_insns <= ARCH_INSN_MAX);
	assert(entry.addr >= CODE_ADDR);
	assert(entry.addr - CODE_ADDR + entry.covered <= pieces[0].size + padding);
	if (arch_x86_64.gateway_write(&entry, gateway_addr, gateway) < 0)
		return;
	assert(entry.gateway_size <= arch_x86_64.slot->gateway_room);
	for (unsigned int i = 0; i < entry.nr_insns; i++)
		assert(arch_x86_64.gateway_to_old(&entry, entry.insns[i].new_offset) ==
		       entry.addr + entry.insns[i].old_offset);
	for (uint64_t offset = 0; offset < entry.gateway_size; offset++)
		(void)arch_x86_64.gateway_to_old(&entry, offset);
}

static void fuzz_reloc(const uint8_t *header, const uint8_t *code, size_t size)
{
	uint8_t section[CODE_MAX];
	struct arch_reloc reloc = {
		.type = header[3] % 64,
		.addend = (int8_t)header[4],
		.place = CODE_ADDR,
		.value = CODE_ADDR + ((uint64_t)header[5] << 24),
		.size = (uint64_t)header[6] << 28,
		.got = CODE_ADDR + ((uint64_t)header[7] << 24),
		.got_base = CODE_ADDR + ((uint64_t)header[8] << 24),
		.stub = header[9] & 1 ? CODE_ADDR + 0x100 : 0,
		.tpoff = -(int64_t)((uint64_t)header[10] << 24),
		.dtpoff = (int64_t)((uint64_t)header[11] << 24),
	};
	size_t offset = (size_t)header[12] | (size_t)header[13] << 8;

	memcpy(section, code, size);
	if (arch_x86_64.reloc_apply(&reloc, section, size, offset) >= 0)
		assert(arch_x86_64.reloc_need(reloc.type) >= 0 && offset <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const uint8_t *code = input + HEADER_SIZE;

	if (size < HEADER_SIZE)
		return 0;
	size = MIN(size - HEADER_SIZE, (size_t)CODE_MAX);
	fuzz_entry(input, code, size);
	fuzz_reloc(input, code, size);
	(void)arch_x86_64.site_find(ARCH_SITE_SIGRETURN, code, size);
	(void)arch_x86_64.is_thread_root(code, size);
	return 0;
}
