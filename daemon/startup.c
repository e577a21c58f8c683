/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "startup.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "cleanup.h"
#include "facts.h"

enum {
	AUXV_MAX = 64,
	PHDRS_MAX = 64,
};

struct program {
	uint64_t phdr_addr;
	uint64_t nr;
};

static ssize_t read_file(int procfd, const char *name, off_t offset, void *ret, size_t size)
{
	_cleanup_close_ int fd = openat(procfd, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : pread(fd, ret, size, offset);
}

static bool find_program(int procfd, struct program *ret)
{
	Elf64_auxv_t auxv[AUXV_MAX];
	ssize_t size = read_file(procfd, "auxv", 0, auxv, sizeof(auxv));

	*ret = (struct program){};
	for (ssize_t i = 0; i < size / (ssize_t)sizeof(auxv[0]); i++) {
		if (auxv[i].a_type == AT_PHDR)
			ret->phdr_addr = auxv[i].a_un.a_val;
		else if (auxv[i].a_type == AT_PHNUM)
			ret->nr = auxv[i].a_un.a_val;
	}
	return ret->phdr_addr && ret->phdr_addr <= INT64_MAX && ret->nr && ret->nr <= PHDRS_MAX;
}

static const struct facts_mapping *mapping_at(const struct facts_mapping *mappings, size_t nr,
					      uint64_t addr)
{
	for (size_t i = 0; i < nr; i++)
		if (addr >= mappings[i].start && addr < mappings[i].end)
			return &mappings[i];
	return NULL;
}

enum process_startup startup_of(int procfd, const struct facts_mapping *mappings, size_t nr)
{
	const struct facts_mapping *mapping = NULL;
	uint64_t bias = 0, relro = 0, size = 0;
	Elf64_Phdr phdrs[PHDRS_MAX];
	struct program program;

	if (!find_program(procfd, &program) ||
	    read_file(procfd, "mem", (off_t)program.phdr_addr, phdrs,
		      program.nr * sizeof(phdrs[0])) != (ssize_t)(program.nr * sizeof(phdrs[0])))
		return PROCESS_STARTUP_UNKNOWN;
	for (uint64_t i = 0; i < program.nr; i++) {
		if (phdrs[i].p_type == PT_PHDR)
			bias = program.phdr_addr - phdrs[i].p_vaddr;
		if (phdrs[i].p_type == PT_GNU_RELRO) {
			relro = phdrs[i].p_vaddr;
			size = phdrs[i].p_memsz;
		}
	}
	/* What covers no whole page is not protected, see elf/dl-reloc.c of glibc. */
	if (relro && (relro + size) / 4096 > relro / 4096)
		mapping = mapping_at(mappings, nr, relro + bias);
	if (!mapping)
		return PROCESS_STARTUP_UNKNOWN;
	return mapping->prot[1] == 'w' ? PROCESS_STARTUP_OPEN : PROCESS_STARTUP_DONE;
}
