/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Becomes the program named in $HOLDER, with a seccomp filter that forbids nothing. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = { 1, &allow };
	const char *path = getenv("HOLDER");

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return 1;
	execl(path, path, (char *)NULL);
	return 127;
}
