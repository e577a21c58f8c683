# SPDX-License-Identifier: LGPL-2.1-or-later
# The program that is patched, in the guest: one at a time answers commands.
victim=

# start_victim [COMMAND...]
start_victim() {
	[ $# -gt 0 ] || set -- /bin/victim
	rm -f /tmp/to /tmp/from
	mkfifo /tmp/to /tmp/from
	"$@" </tmp/to >/tmp/from &
	victim=$!
	exec 3>/tmp/to 4</tmp/from
	ask answer >/dev/null
}

# It has lived until here.
stop_victim() {
	ask answer >/dev/null
	kill $victim
	exec 3>&- 4<&-
	wait $victim
}

ask() {
	local line
	echo "$@" >&3
	read -t 60 line <&4 || fail "the victim does not answer"
	echo "$line"
}

# All its threads wait for a byte, the one that was just started among them.
is_blocked() {
	local task
	[ "$(ls /proc/$victim/task | wc -l)" = 2 ] || return 1
	for task in /proc/$victim/task/*; do
		grep -q '^0 ' "$task/syscall" || return 1
	done
}
is_alone() { [ "$(ls /proc/$victim/task | wc -l)" = 1 ]; }
block_thread() {
	ask block >/dev/null
	until_ok is_blocked
}
release_thread() {
	ask release >/dev/null
	until_ok is_alone
}
