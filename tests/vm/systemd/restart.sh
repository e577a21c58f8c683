# SPDX-License-Identifier: LGPL-2.1-or-later
# The daemon ends, is killed, hangs: it comes back by itself, sees what was there, and no service notices
start_service plain@a
start_service hardened
say upatchctl enable /patches/first.upatch
is_host 2 patched
pids="$(pid_of plain@a) $(pid_of hardened)"

# comes_back HOW OLD_PID
is_another() {
	systemctl show -p ActiveState,MainPID upatchd >/tmp/shown
	grep -q '^ActiveState=active$' /tmp/shown && ! grep -qx "MainPID=$1" /tmp/shown
}
comes_back() {
	until_ok is_another "$2"
	is_host 2 patched
	[ "$(pid_of plain@a) $(pid_of hardened)" = "$pids" ] || fail "$1: services have other processes"
	runs 1 plain@a hardened
	[ "$(property Problems)" = "u 0" ] || fail "$1: $(upatchctl status --daemon)"
}

old=$(pid_of upatchd)
say systemctl restart upatchd
comes_back restart $old
is_shown upatchd NRestarts=0

old=$(pid_of upatchd)
say systemctl kill -s KILL upatchd
comes_back "killed with its workers" $old
is_shown upatchd NRestarts=1

old=$(pid_of upatchd)
say systemctl kill -s KILL --kill-who=main upatchd
comes_back killed $old
is_shown upatchd NRestarts=2

# More often than systemd lets others.
for i in 1 2 3 4 5 6; do
	old=$(pid_of upatchd)
	kill -KILL $old
	until_ok is_another $old
done
comes_back "killed often" $old
is_shown upatchd NRestarts=8

# What does not answer the watchdog is started anew.
old=$(pid_of upatchd)
kill -STOP $old
sleep 60
until_ok is_another $old
comes_back "the watchdog" $old
journalctl -q -b -u upatchd | grep -q 'Watchdog timeout' || fail "it was not the watchdog"

# What is in work when it is killed is carried on with.
say upatchctl disable first
systemctl kill -s KILL upatchd
is_host
runs 6 plain@a hardened
[ "$(pid_of plain@a) $(pid_of hardened)" = "$pids" ] || fail "services have other processes"

# Stopped, it stays so; what was applied stays.
say upatchctl enable /patches/first.upatch
is_host 2 patched
say systemctl stop upatchd.service
said 'upatchd.socket'
is_shown upatchd ActiveState=inactive Result=success MainPID=0
runs 1 plain@a hardened
say upatchctl status
start_service plain@b
runs 6 plain@b
say systemctl start upatchd
is_host 3 patched
runs 1 plain@a plain@b hardened
