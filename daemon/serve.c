/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serve.h"

#include <signal.h>
#include <upatch/upatch.h>

#include "wire.h"

static int serve_one(serve_fn answer, void *userdata, struct wire *w)
{
	int r;

	r = wire_receive(w, SERVE_FD);
	if (r <= 0)
		return r;
	r = answer(userdata, w);
	if (r >= 0)
		r = wire_send(w, SERVE_FD);
	return r < 0 ? r : 1;
}

int serve(serve_fn answer, void *userdata)
{
	struct wire w;
	sigset_t none;
	int r;

	/* The daemon blocks signals for itself; when it is gone nobody waits for an answer. */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	r = wire_init(&w);
	if (r >= 0)
		r = 1;
	while (r > 0)
		r = serve_one(answer, userdata, &w);
	wire_deinit(&w);
	return r < 0 ? UPATCH_EXIT_REFUSED : UPATCH_EXIT_DONE;
}
