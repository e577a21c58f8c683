# SPDX-License-Identifier: LGPL-2.1-or-later
# Services are patched from within the sandbox: plain ones and one that is itself sandboxed; and those that come later
start_service plain@a
start_service hardened
runs 6 plain@a hardened
say grep '^Seccomp:.2$' /proc/$(pid_of hardened)/status

say by_bus upatchctl enable /patches/first.upatch
is_host 2 patched
runs 1 plain@a hardened
say upatchctl status --daemon
said 'victim +first .*patched'
[ "$(property Processes)" = "u 2" ] || fail "$(property Processes)"
upatchctl --json status --daemon >/tmp/said
for unit in plain@a hardened; do said "\"unit\": *\"$unit.service\""; done
say upatchctl status

# Restarted, and started: by themselves.
for unit in plain@a hardened; do
	pid=$(pid_of $unit)
	say systemctl restart $unit
	[ "$(pid_of $unit)" != "$pid" ] || fail "$unit was not restarted"
	comes_to 1 $unit
	is_host 2 patched
done
start_service plain@b
is_host 3 patched
runs 1 plain@a plain@b hardened

say upatchctl disable first
is_host
runs 6 plain@a plain@b hardened

# By unit: the names that systemd gives.
only() {
	say upatchctl enable "$@" /patches/first.upatch
	is_host 1 patched 2 skipped
}
again() {
	say upatchctl disable first
	is_host
	runs 6 plain@a plain@b hardened
}
only --unit hardened.service
runs 1 hardened
runs 6 plain@a plain@b
again
only --unit 'plain@*.service' --exclude unit=plain@b.service
runs 1 plain@a
runs 6 plain@b hardened
again
say upatchctl enable --unit system.slice /patches/first.upatch
is_host 3 patched
runs 1 plain@a plain@b hardened
