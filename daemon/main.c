/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "bus.h"
#include "log.h"
#include "manager.h"
#include "reader.h"
#include "worker.h"

/*
 * upatchd: what must be patched stays patched. This file is its life: options, signals, and telling
 * systemd. The same program is run as worker and as reader, see worker.h and reader.h.
 */

enum role {
	ROLE_DAEMON,
	ROLE_WORKER,
	ROLE_READER,
};

struct settings {
	enum role role;
	struct manager_options manager;
};

enum {
	KEY_CONFIG_ROOT = 0x100,
	KEY_STATE_ROOT,
	KEY_RUNTIME_ROOT,
	KEY_WORKER,
	KEY_READER,
	KEY_VERSION,
};

/* --- signals ----------------------------------------------------------------------------------- */

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	log_line(LOG_INFO, "stopping on signal %u; targets keep what they have", info->ssi_signo);
	(void)sd_notify(0, "STOPPING=1"); /* without systemd there is nobody to tell */
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct manager *manager = userdata;
	struct failure f = {};

	(void)sd_notify(0, "RELOADING=1");
	if (manager_reload(manager, &f) < 0)
		log_line(LOG_ERR, "cannot reload: %s [%s]", f.error.message,
			 upatch_reason_name(f.error.reason));
	failure_clear(&f);
	(void)sd_notify(0, "READY=1");
	return 0;
}

/* Blocked, so that they are read in the loop; workers unblock them again. */
static int watch_signals(sd_event *event, struct manager *manager)
{
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGCHLD); /* for sd_event_add_child() */
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(event, NULL, SIGTERM, on_stop, manager);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_stop, manager);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, manager);
	return r;
}

/* --- life -------------------------------------------------------------------------------------- */

static int serve(struct bus *bus, sd_event *event, struct manager *manager,
		 const struct manager_options *options)
{
	struct failure f = {};
	int r;

	bus_init(bus, event, manager);
	r = bus_open(bus, options->runtime_root, &f);
	if (r < 0)
		log_line(LOG_ERR, "%s [%s]", f.error.message, upatch_reason_name(f.error.reason));
	failure_clear(&f);
	return r;
}

static int run_loop(sd_event *event, const struct manager_options *options)
{
	struct manager *manager = NULL;
	struct failure f = {};
	struct bus bus = {};
	int r;

	r = manager_new(event, options, &f, &manager);
	if (r < 0) {
		log_line(LOG_ERR, "%s [%s]", f.error.message, upatch_reason_name(f.error.reason));
		failure_clear(&f);
		return r;
	}
	r = watch_signals(event, manager);
	if (r >= 0)
		r = serve(&bus, event, manager, options);
	if (r >= 0)
		r = sd_event_set_watchdog(event, 1); /* nothing, without WATCHDOG_USEC */
	if (r >= 0)
		(void)sd_notify(0, "READY=1\nSTATUS=watching");
	if (r >= 0)
		r = sd_event_loop(event);
	if (r < 0)
		log_line(LOG_ERR, "the event loop failed: %s", strerror(-r));
	bus_deinit(&bus);
	manager_free(manager);
	return r;
}

static int run_daemon(const struct manager_options *options)
{
	sd_event *event = NULL;
	int r;

	(void)signal(SIGPIPE, SIG_IGN); /* a client that has gone is told by the write */
	umask(022);
	r = sd_event_new(&event);
	if (r < 0) {
		log_line(LOG_ERR, "cannot make an event loop: %s", strerror(-r));
		return UPATCH_EXIT_REFUSED;
	}
	r = run_loop(event, options);
	sd_event_unref(event);
	return r < 0 ? UPATCH_EXIT_REFUSED : UPATCH_EXIT_DONE;
}

/* --- command line ------------------------------------------------------------------------------ */

static void print_help(void)
{
	puts("upatchd [OPTION]...\n"
	     "\n"
	     "Keep processes patched: those that run now, and those that will.\n"
	     "\n"
	     "  --config-root=DIR    instead of /etc/upatch\n"
	     "  --state-root=DIR     instead of /var/lib/upatch\n"
	     "  --runtime-root=DIR   instead of /run/upatch\n"
	     "  -h, --help           show this help\n"
	     "  --version            show the version\n"
	     "\n"
	     "It is told what to do by upatchctl(1) and upatchd.conf(5).");
}

static const struct option long_options[] = {
	{ "config-root", required_argument, NULL, KEY_CONFIG_ROOT },
	{ "state-root", required_argument, NULL, KEY_STATE_ROOT },
	{ "runtime-root", required_argument, NULL, KEY_RUNTIME_ROOT },
	{ "worker", no_argument, NULL, KEY_WORKER }, /* for ourselves */
	{ "reader", no_argument, NULL, KEY_READER }, /* for ourselves */
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, KEY_VERSION },
	{},
};

/* Return: -1 to go on, or the exit status. */
static int take_option(struct settings *settings, int key, const char *value)
{
	switch (key) {
	case KEY_CONFIG_ROOT:
		settings->manager.config_root = value;
		return -1;
	case KEY_STATE_ROOT:
		settings->manager.state_root = value;
		return -1;
	case KEY_RUNTIME_ROOT:
		settings->manager.runtime_root = value;
		return -1;
	case KEY_WORKER:
		settings->role = ROLE_WORKER;
		return -1;
	case KEY_READER:
		settings->role = ROLE_READER;
		return -1;
	case KEY_VERSION:
		puts("upatchd " UPATCH_VERSION);
		return UPATCH_EXIT_DONE;
	case 'h':
		print_help();
		return UPATCH_EXIT_DONE;
	default:
		fputs("upatchd: see upatchd --help [usage]\n", stderr);
		return UPATCH_EXIT_USAGE;
	}
}

int main(int argc, char *argv[])
{
	struct settings settings = {
		.manager = {
			.config_root = "/etc/upatch",
			.state_root = "/var/lib/upatch",
			.runtime_root = "/run/upatch",
			.program = "/proc/self/exe",
		},
	};
	int key, status;

	while ((key = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		status = take_option(&settings, key, optarg);
		if (status >= 0)
			return status;
	}
	if (optind < argc) {
		fprintf(stderr, "upatchd: '%s': unexpected argument; see upatchd --help [usage]\n",
			argv[optind]);
		return UPATCH_EXIT_USAGE;
	}
	switch (settings.role) {
	case ROLE_WORKER:
		return worker_main();
	case ROLE_READER:
		return reader_main();
	case ROLE_DAEMON:
		break;
	}
	return run_daemon(&settings.manager);
}
