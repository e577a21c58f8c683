/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Needs the plugin, and is what the victim loads. */
int plug_value(int x);
int user_value(int x);

int user_value(int x)
{
	return plug_value(x) * 1000;
}
