/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_caller.h"

#include <errno.h>
#include <string.h>

#include "bus.h"
#include "bus_error.h"
#include "cleanup.h"
#include "failure.h"

#define POLKIT_ACTION "org.upatch.manage"

/* --- who --------------------------------------------------------------------------------------- */

static void refuse_unknown(struct bus_call *call, const char *why)
{
	_cleanup_(failure_clear) struct failure f = {};

	(void)bus_error_raise(&f, UPATCH_E_DENIED, 0,
			      "the bus does not say which user client %s is: %s",
			      sd_bus_message_get_sender(call->message) ?: "?", why);
	bus_call_refuse(call, &f);
}

/* a{sv} of org.freedesktop.DBus.GetConnectionCredentials. */
static int read_credentials(sd_bus_message *reply, struct bus_caller *ret)
{
	const char *key;
	int has_uid = 0;
	int r;

	r = sd_bus_message_enter_container(reply, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
		uint32_t number;

		r = sd_bus_message_read(reply, "s", &key);
		if (r < 0)
			return r;
		if (strcmp(key, "UnixUserID") != 0 && strcmp(key, "ProcessID") != 0) {
			r = sd_bus_message_skip(reply, "v");
		} else {
			r = sd_bus_message_read(reply, "v", "u", &number);
			if (*key == 'U')
				ret->uid = number;
			else
				ret->pid = (pid_t)number;
			has_uid |= *key == 'U';
		}
		if (r >= 0)
			r = sd_bus_message_exit_container(reply);
	}
	if (r < 0)
		return r;
	return has_uid ? 0 : -ENODATA;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus_call *call = userdata;
	struct bus_caller caller = {};
	const sd_bus_error *failure = sd_bus_message_get_error(reply);
	int r;

	if (failure) {
		refuse_unknown(call, failure->message);
		return 0;
	}
	r = read_credentials(reply, &caller);
	if (r < 0)
		refuse_unknown(call, strerror(-r));
	else
		bus_call_identified(call, &caller);
	return 0;
}

int bus_caller_identify(struct bus_call *call, struct failure *f)
{
	struct bus_link *link = call->link;
	int r;

	if (link->is_private) {
		struct bus_caller caller = { .uid = link->uid, .pid = link->pid };

		bus_call_identified(call, &caller);
		return 0;
	}
	r = sd_bus_call_method_async(link->connection, &call->question, "org.freedesktop.DBus",
				     "/org/freedesktop/DBus", "org.freedesktop.DBus",
				     "GetConnectionCredentials", on_credentials, call, "s",
				     sd_bus_message_get_sender(call->message));
	return r < 0 ? bus_error_raise(f, UPATCH_E_IO, 0, "cannot ask the bus who calls: %s",
				       strerror(-r))
		     : 0;
}

/* --- polkit ---------------------------------------------------------------------------------- */

static void refuse_host(struct bus_call *call, const char *why)
{
	_cleanup_(failure_clear) struct failure f = {};

	(void)bus_error_raise(
		&f, UPATCH_E_DENIED, 0,
		"process %d of user %u may not change what is patched on this host: %s",
		(int)call->caller.pid, call->caller.uid, why);
	bus_call_refuse(call, &f);
}

static int on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct bus_call *call = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);
	int is_authorized = 0;
	int is_challenge = 0;
	int r;

	if (failure) {
		/* Not installed is the usual case. */
		refuse_host(call, sd_bus_error_has_name(failure, SD_BUS_ERROR_SERVICE_UNKNOWN)
					  ? "he is not root, and there is no polkit to ask"
					  : failure->message);
		return 0;
	}
	r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(reply, "bb", &is_authorized, &is_challenge);
	if (r >= 0 && is_authorized)
		bus_call_permit(call);
	else
		refuse_host(call, is_challenge ? "polkit wants him to authenticate"
					       : "polkit does not allow " POLKIT_ACTION);
	return 0;
}

void bus_caller_ask_polkit(struct bus_call *call)
{
	struct bus_link *link = call->link;
	int is_interactive;
	int r;

	if (link->is_private) {
		/* polkit knows clients of the system bus by their names there. */
		refuse_host(call, "he is not root; polkit is asked for clients of the system bus");
		return;
	}
	is_interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0;
	call->question = sd_bus_slot_unref(call->question);
	r = sd_bus_call_method_async(link->connection, &call->question,
				     "org.freedesktop.PolicyKit1",
				     "/org/freedesktop/PolicyKit1/Authority",
				     "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
				     on_polkit, call, "(sa{sv})sa{ss}us", "system-bus-name", 1,
				     "name", "s", sd_bus_message_get_sender(call->message),
				     POLKIT_ACTION, 0, is_interactive, "");
	if (r < 0)
		refuse_host(call, strerror(-r));
}
