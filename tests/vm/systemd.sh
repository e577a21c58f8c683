# SPDX-License-Identifier: LGPL-2.1-or-later
# Where systemd is the first process: services that are patched, and upatchd, which is one, too.
. /lib/vm/guest.sh
manager="org.upatch.Manager1 /org/upatch/Manager1 org.upatch.Manager1"
services=
# Programs are slow here, and an idle guest's time goes by at once.
until_ok_usec=500000

# The first thing that is wrong, and what led to it.
fail() {
	echo "VM-FAIL $*"
	echo "counts: $(counts)"
	upatchctl status --daemon
	journalctl -q -b -n 40 --no-hostname -o short-monotonic | cat
	exit 1
}

finish() {
	upatchctl list >/tmp/list
	! grep -q first /tmp/list || upatchctl disable first || fail "first cannot be disabled"
	for unit in $services; do stop_service "$unit"; done
	is_host
	no_failed_units
}
no_failed_units() { [ -z "$(systemctl --failed --quiet)" ] || fail "failed: $(systemctl --failed --quiet)"; }

# show UNIT PROPERTY
show() { systemctl show --value -p "$2" "$1"; }
# is_shown UNIT PROPERTY=VALUE...
is_shown() {
	local unit=$1 line names=
	shift
	for line in "$@"; do names=$names${names:+,}${line%%=*}; done
	systemctl show -p "$names" "$unit" >/tmp/shown
	for line in "$@"; do
		grep -qxF "$line" /tmp/shown || fail "$unit: expected $line, but: $(cat /tmp/shown)"
	done
}
is_active() { [ "$(show "$1" ActiveState)" = active ]; }
pid_of() { show "$1" MainPID; }

# --- services that are patched --------------------------------------------------------------------

# start_service UNIT: somebody has both of its ends, so that it waits for commands, and outlives a command.
start_service() {
	[ -p "/tmp/$1.to" ] || mkfifo "/tmp/$1.to" "/tmp/$1.from"
	sleep 100000 3<>"/tmp/$1.to" 4<>"/tmp/$1.from" &
	echo $! >"/tmp/$1.holder"
	say systemctl start "$1"
	services="$services $1"
	ask_service "$1" >/dev/null
}
stop_service() {
	systemctl stop "$1" || fail "$1 does not stop"
	kill "$(cat "/tmp/$1.holder")"
}
ask_service() {
	local line
	is_active "$1" || fail "$1 is $(show "$1" ActiveState)"
	echo answer >"/tmp/$1.to"
	read -t 60 line <"/tmp/$1.from" || fail "$1 does not answer"
	echo "${line%% *}"
}
# runs NUMBER UNIT...: what secret() returns there: 6, or 1 where it is patched
runs() {
	local number=$1 unit answer
	shift
	for unit in "$@"; do
		answer=$(ask_service "$unit") || fail "$answer"
		[ "$answer" = "$number" ] || fail "$unit answers $answer, expected $number"
	done
}

answers() { [ "$(ask_service "$2")" = "$1" ]; }
# comes_to NUMBER UNIT...: until_ok runs NUMBER UNIT...; upatchd may not have heard yet of what has just begun
comes_to() {
	local number=$1 unit
	shift
	for unit in "$@"; do until_ok answers "$number" "$unit"; done
}

# --- upatchd --------------------------------------------------------------------------------------

property() { busctl get-property $manager "$@"; }
# How many pairs of process and patch are in which state, "2 patched 2 total "; nothing while there is work to do.
counts() {
	property Settled Counts 2>&1 | awk '{ gsub(/"/, "") } /^b/ { print $2 } /^a/ {
		for (i = 3; i < NF; i += 2) if ($(i + 1)) printf "%d %s ", $(i + 1), $i }' | tr '\n' ' '
}
is_host_now() { [ "$(counts)" = "true $*" ]; }
# is_host [NUMBER STATE]...: nothing is left to do, and so many are in each state, none in another
is_host() {
	local sum=0 expected="$*"
	while [ $# -gt 0 ]; do
		sum=$((sum + $1))
		shift 2
	done
	[ $sum = 0 ] || expected="$expected $sum total "
	until_ok is_host_now "$expected"
}

# as_user COMMAND...: who is not root
as_user() { su -s /bin/sh victim -c "$*"; }
# by_bus COMMAND...: for which the socket is not there
by_bus() { unshare -m sh -c 'mount -t tmpfs none /run/upatch && "$@"' - "$@"; }
