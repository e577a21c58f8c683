/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"

DEFINE_CLEANUP(struct target *, target_close);

void target_close(struct target *target)
{
	if (!target)
		return;
	closep(&target->memfd);
	closep(&target->threadfd);
	closep(&target->procfd);
	closep(&target->pidfd);
	free(target);
}

static int raise_open(struct diag *d, pid_t pid, int error)
{
	struct diag_where where = { .pid = pid };

	switch (-error) {
	case ENOENT:
	case ESRCH:
		return diag_err(d, -ESRCH, UPATCH_E_NO_PROCESS, &where, "no such process");
	case EACCES:
	case EPERM:
		return diag_err(d, -EPERM, UPATCH_E_PERMISSION, &where,
				"the kernel does not let us trace it (needs the same user and no "
				"new privileges, or CAP_SYS_PTRACE)");
	default:
		return diag_err(d, error, UPATCH_E_IO, &where, "cannot open its /proc entry: %s",
				strerror(-error));
	}
}

static int check_identity(struct target *t, struct diag *d, pid_t pid)
{
	struct diag_where where = { .pid = pid };
	struct proc_status status;
	int r;

	r = proc_read_stat(t->procfd, 0, &t->stat);
	if (r < 0)
		return raise_open(d, pid, r);
	r = proc_read_status(t->procfd, 0, &status);
	if (r < 0)
		return raise_open(d, pid, r);
	t->uid = status.uid;
	if (status.tgid != pid)
		return diag_err(d, -ESRCH, UPATCH_E_NO_PROCESS, &where,
				"this is a thread of process %d, not a process", (int)status.tgid);
	if (t->stat.is_kernel_thread)
		return diag_err(d, -EINVAL, UPATCH_E_KERNEL_THREAD, &where,
				"'%s' is a kernel thread", t->stat.comm);
	return 0;
}

/*
 * Choose a live thread, the main one if it lives: a main thread that has exited is a zombie, while
 * the process lives on in the others.
 */
static int choose_thread(struct target *t, struct diag *d, pid_t pid)
{
	struct diag_where where = { .pid = pid };
	_cleanup_free_ pid_t *tids = NULL;
	struct proc_stat stat;
	char path[32];
	size_t nr = 0;

	(void)proc_read_tids(t->procfd, &tids, &nr); /* none found is what counts */
	for (size_t i = 0; i < nr; i++) {
		if (proc_read_stat(t->procfd, tids[i], &stat) < 0 || stat.state == 'Z' ||
		    stat.state == 'X')
			continue;
		(void)snprintf(path, sizeof(path), "task/%d", (int)tids[i]);
		int fd = openat(t->procfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue;
		closep(&t->threadfd);
		t->threadfd = fd;
		t->tid = tids[i];
		return 0;
	}
	return diag_err(d, -ESRCH, UPATCH_E_ZOMBIE, &where,
			"the process has exited and its parent has not collected it yet");
}

/* Nobody else holds it, and its returns may be led into a signal frame. */
static int check_usable(struct target *t, struct diag *d, pid_t pid)
{
	struct diag_where where = { .pid = pid };
	struct proc_status status;
	struct proc_stat tracer = { .comm = "?" };
	char path[32];
	int r;

	r = proc_read_status(t->procfd, 0, &status);
	if (r < 0)
		return raise_open(d, pid, r);
	if (status.has_shadow_stack)
		return diag_err(
			d, -EOPNOTSUPP, UPATCH_E_SHADOW_STACK, &where,
			"it has a user shadow stack, which forbids returning into the signal "
			"frames that system calls in it need");
	if (!status.tracer)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)status.tracer);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)proc_read_stat(fd, 0, &tracer); /* only for its name */
	return diag_err(d, -EBUSY, UPATCH_E_TRACED, &where, "it is traced by process %d (%s)",
			(int)status.tracer, tracer.comm);
}

/* The machine of the running program, from the ELF header that it was started from. */
static int find_arch(struct target *t, struct diag *d)
{
	struct diag_where where = { .pid = t->pid };
	Elf64_Ehdr ehdr;
	_cleanup_close_ int fd = openat(t->threadfd, "exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return raise_open(d, t->pid, -errno);
	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0)
		return diag_err(d, -ENOEXEC, UPATCH_E_ARCHITECTURE, &where,
				"its executable is not an ELF file");
	if (ehdr.e_ident[EI_CLASS] == ELFCLASS64)
		t->arch = arch_by_machine(ehdr.e_machine);
	if (!t->arch)
		return diag_err(d, -ENOEXEC, UPATCH_E_ARCHITECTURE, &where,
				"its executable is for a machine that we do not support "
				"(class %d, machine %d)",
				ehdr.e_ident[EI_CLASS], ehdr.e_machine);
	return 0;
}

int target_open(struct diag *d, pid_t pid, struct target **ret)
{
	_cleanup_(target_closep) struct target *t = calloc(1, sizeof(*t));
	char path[32];
	int r;

	if (!t)
		return diag_oom(d);
	t->diag = d;
	t->pid = pid;
	t->pidfd = t->procfd = t->threadfd = t->memfd = -1;
	if (pid <= 0)
		return raise_open(d, pid, -ESRCH);
	/* The directory first: a pidfd opened while that one lives is of the same process if the
	 * directory is still alive afterwards, which reading stat through it proves. */
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	t->procfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->procfd < 0)
		return raise_open(d, pid, -errno);
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t->pidfd < 0 && errno != EINVAL) /* EINVAL: a thread, refused below */
		return raise_open(d, pid, -errno);
	r = check_identity(t, d, pid);
	if (r < 0)
		return r;
	r = choose_thread(t, d, pid);
	if (r < 0)
		return r;
	r = check_usable(t, d, pid);
	if (r < 0)
		return r;
	t->memfd = openat(t->threadfd, "mem", O_RDWR | O_CLOEXEC);
	if (t->memfd < 0)
		return raise_open(d, pid, -errno);
	r = find_arch(t, d);
	if (r < 0)
		return r;
	*ret = take_ptr(t);
	return 0;
}

int target_check_alive(struct target *target)
{
	struct diag_where where = { .pid = target->pid };
	struct pollfd pollfd = { .fd = target->pidfd, .events = POLLIN };
	struct proc_stat stat;

	/* The main thread's: for the process as a whole the kernel would add up all threads. */
	if (poll(&pollfd, 1, 0) != 0 || proc_read_stat(target->procfd, target->pid, &stat) < 0)
		return diag_err(target->diag, -ESRCH, UPATCH_E_GONE, &where,
				"the process has exited");
	/* It shows no stack once its main thread has exited. */
	if (stat.start_time != target->stat.start_time ||
	    (stat.start_stack && stat.start_stack != target->stat.start_stack))
		return diag_err(target->diag, -ESRCH, UPATCH_E_GONE, &where,
				"the process runs another program now (execve)");
	if (proc_read_stat(target->procfd, target->tid, &stat) == 0 && stat.state != 'Z' &&
	    stat.state != 'X')
		return 0;
	return choose_thread(target, target->diag, target->pid);
}

int target_check_memory(struct target *target)
{
	struct diag_where where = { .pid = target->pid };
	struct proc_stat stat;

	/* kcmp(2): 0 is equal. Who may not compare has another user's process as parent. */
	if (proc_read_stat(target->procfd, 0, &stat) < 0 || !stat.parent ||
	    syscall(SYS_kcmp, target->tid, stat.parent, KCMP_VM, 0, 0) != 0)
		return 0;
	return diag_err(target->diag, -EBUSY, UPATCH_E_UNINTERRUPTIBLE, &where,
			"it is a child of vfork(2), in the memory of process %d, which waits for "
			"it to run another program",
			(int)stat.parent);
}

int target_maps(struct target *target, struct maps *ret)
{
	struct diag_where where = { .pid = target->pid };
	int r;

	r = maps_read(target->threadfd, ret);
	if (r == -ENOMEM)
		return diag_oom(target->diag);
	if (r < 0)
		return diag_err(target->diag, r, UPATCH_E_GONE, &where,
				"cannot read its mappings: %s", strerror(-r));
	return 0;
}

char *target_exe(struct target *target, char *buf, size_t size)
{
	ssize_t n = readlinkat(target->threadfd, "exe", buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

int target_read(struct target *target, uint64_t addr, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct iovec local = { (char *)buf + done, size - done };
		struct iovec remote = { (void *)(uintptr_t)(addr + done), size - done };
		ssize_t n = process_vm_readv(target->tid, &local, 1, &remote, 1, 0);

		/* Pages that the target itself may not read (PROT_NONE, execute-only). */
		if (n <= 0)
			n = pread(target->memfd, local.iov_base, local.iov_len,
				  (off_t)(addr + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

int target_read_string(struct target *target, uint64_t addr, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		/* Not beyond the page, which may be the last one. */
		size_t chunk = MIN(size - done, 4096 - ((addr + done) & 4095));

		if (target_read(target, addr + done, buf + done, chunk) < 0)
			return -EFAULT;
		if (memchr(buf + done, '\0', chunk))
			return 0;
		done += chunk;
	}
	return -ENAMETOOLONG;
}

/* Word by word, keeping the bytes around. ptrace(2), PTRACE_POKEDATA. */
static int write_by_poke(pid_t tracee, uint64_t addr, const uint8_t *buf, size_t size)
{
	while (size) {
		uint64_t word_addr = ALIGN_DOWN(addr, sizeof(long));
		size_t skip = addr - word_addr;
		size_t chunk = MIN(size, sizeof(long) - skip);
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, tracee, word_addr, 0);
		if (errno)
			return -errno;
		memcpy((uint8_t *)&word + skip, buf, chunk);
		if (ptrace(PTRACE_POKEDATA, tracee, word_addr, word) < 0)
			return -errno;
		addr += chunk;
		buf += chunk;
		size -= chunk;
	}
	return 0;
}

int target_write(struct target *target, pid_t tracee, uint64_t addr, const void *buf, size_t size)
{
	struct diag_where where = { .pid = target->pid, .tid = tracee };
	size_t done = 0;
	int r;

	while (done < size) {
		ssize_t n = pwrite(target->memfd, (const char *)buf + done, size - done,
				   (off_t)(addr + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		/* proc_pid_mem(5): the address space is gone. By its PID we would write into another program's. */
		if (n == 0)
			return diag_err(target->diag, -ESRCH, UPATCH_E_GONE, &where,
					"the process has exited, or runs another program now "
					"(execve)");
		r = -errno;
		if (tracee && write_by_poke(tracee, addr + done, (const uint8_t *)buf + done,
					    size - done) == 0)
			return 0;
		return diag_err(target->diag, r, UPATCH_E_IO, &where,
				"cannot write %zu bytes at 0x%llx: %s", size,
				(unsigned long long)addr, strerror(-r));
	}
	return 0;
}
