/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "base/array.h"
#include "base/diag.h"

/* Every function that this machine's C library and this program export, planned and moved. */

enum { GATEWAY_DISTANCE = 0x10000000 };

struct corpus {
	const uint8_t *file; /* trusted: it runs this test */
	size_t size;
	struct insn_decoder *decoder;
	unsigned int nr_planned;
	unsigned int nr_refused[UPATCH_E_COUNT];
};

static const uint8_t *map_file(const char *path, size_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *file;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	*ret_size = (size_t)st.st_size;
	return file;
}

/* How one instruction and what became of it must agree. */
static void assert_moved(struct corpus *c, const struct arch_entry *entry, unsigned int i,
			 const uint8_t *gateway, uint64_t gateway_addr)
{
	size_t old = entry->insns[i].old_offset, new = entry->insns[i].new_offset;
	char mnemonic[64];
	struct insn before, after;

	assert_int_equal(insn_decode(c->decoder, entry->old + old, entry->covered - old,
				     entry->addr + old, &before),
			 0);
	snprintf(mnemonic, sizeof(mnemonic), "%s", insn_mnemonic(c->decoder));
	assert_int_equal(insn_decode(c->decoder, gateway + new, entry->gateway_size - new,
				     gateway_addr + new, &after),
			 0);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, new), entry->addr + old);
	/* a prefix of a branch may be dropped, its meaning not */
	if (!before.has_target)
		assert_string_equal(insn_mnemonic(c->decoder), mnemonic);
	assert_int_equal(after.kind, before.kind);
	assert_int_equal(after.condition, before.condition);
	assert_int_equal(after.has_rip_operand, before.has_rip_operand);
	if (before.has_rip_operand)
		assert_int_equal(after.rip_target, before.rip_target);
	if (before.has_target && before.kind != INSN_LOOP)
		assert_int_equal(after.target, before.target);
}

static void plan_one(struct corpus *c, const Elf64_Sym *symbol, size_t offset)
{
	const struct arch_code body = { symbol->st_value, c->file + offset, symbol->st_size };
	const struct arch_func func = { .pieces = &body, .nr_pieces = 1 };
	uint64_t gateway_addr = symbol->st_value + GATEWAY_DISTANCE;
	struct arch_entry entry;
	uint8_t gateway[256];
	struct diag diag;

	diag_init(&diag);
	if (arch_x86_64.entry_plan(&diag, &func, &entry) < 0) {
		assert_int_not_equal(diag.error.reason, UPATCH_E_NONE);
		c->nr_refused[diag.error.reason]++;
		diag_deinit(&diag);
		return;
	}
	c->nr_planned++;
	assert_in_range(entry.covered, entry.size, ARCH_ENTRY_MAX);
	assert_in_range(entry.nr_insns, 1, entry.size);
	assert_int_equal(arch_x86_64.gateway_write(&entry, gateway_addr, gateway), 0);
	assert_true(entry.gateway_size <= arch_x86_64.slot->gateway_room);
	for (unsigned int i = 0; i < entry.nr_insns; i++)
		assert_moved(c, &entry, i, gateway, gateway_addr);
	diag_deinit(&diag);
}

/* File offset of the @size bytes at @addr, or -1 when they are not in the file. */
static ssize_t file_offset(const struct corpus *c, uint64_t addr, uint64_t size)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)c->file;
	const Elf64_Phdr *phdr = (const Elf64_Phdr *)(c->file + ehdr->e_phoff);

	for (unsigned int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_flags & PF_X &&
		    addr >= phdr[i].p_vaddr && addr + size <= phdr[i].p_vaddr + phdr[i].p_filesz)
			return (ssize_t)(addr - phdr[i].p_vaddr + phdr[i].p_offset);
	return -1;
}

static void plan_symbols(struct corpus *c, const Elf64_Shdr *table)
{
	const Elf64_Sym *symbols = (const Elf64_Sym *)(c->file + table->sh_offset);

	for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
		ssize_t offset;

		if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || !symbols[i].st_size)
			continue;
		offset = file_offset(c, symbols[i].st_value, symbols[i].st_size);
		if (offset >= 0)
			plan_one(c, &symbols[i], (size_t)offset);
	}
}

static void print_shares(const struct corpus *c, const char *path)
{
	unsigned int nr = c->nr_planned;

	for (unsigned int i = 0; i < UPATCH_E_COUNT; i++)
		nr += c->nr_refused[i];
	print_message("%s: %u functions, %u planned\n", path, nr, c->nr_planned);
	for (unsigned int i = 0; i < UPATCH_E_COUNT; i++)
		if (c->nr_refused[i])
			print_message("  %s: %u (%.1f %%)\n", upatch_reason_name(i),
				      c->nr_refused[i], 100. * c->nr_refused[i] / nr);
	/* Most functions that are long enough can be patched, or the rules are wrong. */
	assert_true(c->nr_planned * 10 > (nr - c->nr_refused[UPATCH_E_TOO_SHORT]) * 9);
}

/* The full symbol table where there is one, else the exported functions. */
static void plan_file(const char *path)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	struct corpus c = {};
	const Elf64_Ehdr *ehdr;
	const Elf64_Shdr *shdr, *table = NULL;

	assert_int_equal(insn_decoder_new(&decoder), 0);
	c.decoder = decoder;
	c.file = map_file(path, &c.size);
	ehdr = (const Elf64_Ehdr *)c.file;
	shdr = (const Elf64_Shdr *)(c.file + ehdr->e_shoff);
	for (unsigned int i = 0; i < ehdr->e_shnum; i++)
		if (shdr[i].sh_type == SHT_SYMTAB || (shdr[i].sh_type == SHT_DYNSYM && !table))
			table = &shdr[i];
	assert_non_null(table);
	plan_symbols(&c, table);
	print_shares(&c, path);
	assert_int_equal(munmap((void *)(uintptr_t)c.file, c.size), 0);
}

static void test_functions_of_the_c_library_move_unchanged(void **state)
{
	Dl_info info;

	assert_int_not_equal(dladdr((void *)(uintptr_t)printf, &info), 0);
	plan_file(info.dli_fname);
}

static void test_functions_of_the_decoder_move_unchanged(void **state)
{
	Dl_info info;
	void *cs_version = dlsym(RTLD_DEFAULT, "cs_version");

	if (!cs_version || !dladdr(cs_version, &info))
		skip(); /* capstone is linked statically */
	plan_file(info.dli_fname);
}

static void test_functions_of_this_program_move_unchanged(void **state)
{
	plan_file("/proc/self/exe");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions_of_the_c_library_move_unchanged),
		cmocka_unit_test(test_functions_of_the_decoder_move_unchanged),
		cmocka_unit_test(test_functions_of_this_program_move_unchanged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
