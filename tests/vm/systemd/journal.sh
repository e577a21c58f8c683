# SPDX-License-Identifier: LGPL-2.1-or-later
# What happens is in the journal, with the fields that upatchd(8) tells
entry=c5f0d4a7b0e24d5e8f6d0a1c3b9e7201
desired=c5f0d4a7b0e24d5e8f6d0a1c3b9e7202
start_service plain@a
pid=$(pid_of plain@a)
say upatchctl enable /patches/first.upatch
is_host 1 patched
say systemctl restart plain@a
comes_to 1 plain@a
is_host 1 patched
say upatchctl disable first
is_host

# has FIELD=VALUE...: there are entries with all of these; those were said
has() {
	journalctl -q --sync
	say journalctl -q -o json "$@"
	[ -s /tmp/said ] || fail "no entry has $*"
}
has MESSAGE_ID=$desired UPATCH_PATCH=first PRIORITY=5 _SYSTEMD_UNIT=upatchd.service SYSLOG_IDENTIFIER=upatchd
for state in patched gone; do
	has MESSAGE_ID=$entry UPATCH_PATCH=first UPATCH_PID=$pid UPATCH_STATE=$state
	for field in '"UPATCH_COMM":"victim"' '"PRIORITY":"6"' '"_SYSTEMD_UNIT":"upatchd.service"'; do
		said "$field"
	done
	said "\"MESSAGE\":\"process $pid \(victim\): patch 'first': $state\""
done
