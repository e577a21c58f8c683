/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_TAKEOVER_H
#define LIVEPATCH_TAKEOVER_H

/*
 * Finishing or undoing what an earlier run left half done, as its record says. An open transition is
 * not half done: it stays open.
 */

#include <stdbool.h>

struct session;

/**
 * takeover_is_due() - may something be half done?
 * Return: true or false; never blocks.
 */
bool takeover_is_due(const struct session *session);

/**
 * takeover_run() - complete what took effect, undo what did not
 * Stops the target if entries are concerned. Return: 0, or -errno raised.
 */
int takeover_run(struct session *session);

#endif
