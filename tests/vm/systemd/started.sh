# SPDX-License-Identifier: LGPL-2.1-or-later
# A call starts the daemon: by the bus, by the socket, by anybody
stop() {
	say systemctl stop "$@"
	is_shown upatchd ActiveState=inactive
}
stop upatchd.service
say by_bus upatchctl status --daemon
is_shown upatchd ActiveState=active

stop upatchd.service
say upatchctl status --daemon
is_shown upatchd ActiveState=active

# Without the socket the bus brings both.
stop upatchd.socket upatchd.service
say property Version
is_shown upatchd ActiveState=active
is_shown upatchd.socket ActiveState=active

stop upatchd.service
say as_user upatchctl status --daemon
is_shown upatchd ActiveState=active
stop upatchd.service
say as_user busctl get-property $manager Version
is_shown upatchd ActiveState=active

# The bus may be started anew, and knows the daemon again.
say systemctl restart dbus.service
until_ok busctl status org.upatch.Manager1 >/dev/null
say by_bus upatchctl status --daemon
