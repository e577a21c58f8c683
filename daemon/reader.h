/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_READER_H
#define DAEMON_READER_H

/*
 * The process that looks at processes. Reading from a process may block, on its memory or on a file
 * system that it maps from: here that stalls nobody but the reader, who is killed for it.
 *
 * Asked:    PID
 * Answered: PID, enum reader_outcome; for a process: the error that its record met, the process;
 *           for an error: that
 */

enum reader_outcome {
	READER_PROCESS, /* the error's reason is "none" when all is well */
	READER_NOBODY,
	READER_KERNEL_THREAD,
	READER_ERROR,
};

/* Serve on SERVE_FD until the daemon closes it. Return: exit status. */
int reader_main(void);

#endif
