/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/poke.h"

#include "agent/agent.h"
#include "agent/bytes.h"

enum {
	ERROR_PERM = -1,
	ERROR_IO = -5,
};

void poke_open(struct poke *ret)
{
	/* Not the process's own: when the main thread has exited that one shows no memory. */
	ret->fd = agent_data.may_not_open ? ERROR_PERM
					  : sys_openat(SYS_AT_FDCWD, "/proc/thread-self/mem",
						       SYS_O_RDWR | SYS_O_CLOEXEC, 0);
}

void poke_close(struct poke *poke)
{
	if (poke->fd >= 0)
		(void)sys_close(poke->fd); /* nothing was buffered */
	poke->fd = -1;
}

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static long write_through(const struct poke *poke, uint64_t addr, const uint8_t *bytes, size_t size)
{
	while (size) {
		long n = sys_pwrite(poke->fd, bytes, size, addr);

		if (n <= 0)
			return n ? n : ERROR_IO;
		bytes += n;
		addr += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static long protect(uint64_t addr, uint64_t size, long prot)
{
	return size ? sys_mprotect(pointer(addr), size, prot) : 0;
}

long poke_reserve(const struct poke *poke, uint64_t addr, uint64_t size)
{
	/* Where memory that was not executable may not become so, it is from the start. */
	long prot = poke->fd >= 0 ? SYS_PROT_READ | SYS_PROT_EXEC : SYS_PROT_READ | SYS_PROT_WRITE;
	long r = sys_mmap(pointer(addr), size, prot,
			  SYS_MAP_PRIVATE | SYS_MAP_ANONYMOUS | SYS_MAP_FIXED_NOREPLACE, -1, 0);

	if (r < 0 && r >= -4095)
		return r;
	if ((uint64_t)r == addr)
		return 0;
	(void)sys_munmap((void *)r, size); /* an old kernel, for which the address is a hint */
	return AGENT_EEXIST;
}

long poke_fill(const struct poke *poke, uint64_t addr, const struct poke_parts *parts,
	       const void *bytes)
{
	uint64_t ro = addr + parts->text_size, rw = ro + parts->ro_size;
	long r = 0;

	if (poke->fd >= 0) {
		r = write_through(poke, addr, bytes, poke_size(parts));
	} else {
		memcpy(pointer(addr), bytes, poke_size(parts));
		r = protect(addr, parts->text_size, SYS_PROT_READ | SYS_PROT_EXEC);
	}
	if (r >= 0)
		r = protect(ro, parts->ro_size, SYS_PROT_READ);
	if (r >= 0)
		r = protect(rw, parts->rw_size, SYS_PROT_READ | SYS_PROT_WRITE);
	return r < 0 ? r : 0;
}

/* All of it may be executed meanwhile: no thread loses that right. */
static long write_unprotected(uint64_t addr, const void *bytes, size_t size, long prot)
{
	uint64_t first = addr & ~(uint64_t)(UPATCH_PAGE_SIZE - 1);
	uint64_t end = align_up(addr + size, UPATCH_PAGE_SIZE);
	long r = protect(first, end - first, prot | SYS_PROT_WRITE);

	if (r < 0)
		return r;
	memcpy(pointer(addr), bytes, size);
	return protect(first, end - first, prot);
}

long poke_write(const struct poke *poke, uint64_t addr, const void *bytes, size_t size, long prot)
{
	return poke->fd >= 0 ? write_through(poke, addr, bytes, size)
			     : write_unprotected(addr, bytes, size, prot);
}
