# SPDX-License-Identifier: LGPL-2.1-or-later
# For scenarios with one side: what they say is shown, and the first thing that is not as it should be ends them.
. /lib/vm/process.sh
. /lib/vm/kernel.sh
livepatch=/sys/kernel/livepatch

begin() { dmesg -c >/dev/null; }
finish() {
	[ -z "$(ls $livepatch)" ] || fail "livepatches are left: $(ls $livepatch)"
	[ -z "$victim" ] || stop_victim
}
transcript() { :; }

# say [is=STATUS] COMMAND...: show a command and what it prints; its exit status is that, or 0.
say() {
	local expected=0 rc=0
	case $1 in
	is=*)
		expected=${1#is=}
		shift
		;;
	esac
	echo "\$ $*"
	"$@" >/tmp/said 2>&1 || rc=$?
	cat /tmp/said
	[ $rc = "$expected" ] || fail "'$*': exit status $rc, expected $expected"
}
# What was said last has a line that matches.
said() { grep -qE "$1" /tmp/said || fail "nothing like '$1' was said"; }
not_said() { ! grep -qE "$1" /tmp/said || fail "'$1' was said"; }

# What secret() returns on each side, 6 where it is not patched.
kernel_side() {
	local answer
	read -r answer _ </proc/victim
	[ "$answer" = "$1" ] || fail "kernel: $answer"
}
user_side() {
	local answer
	answer=$(ask answer)
	[ "${answer%% *}" = "$1" ] || fail "process: $answer"
}
both_sides() {
	kernel_side "$1"
	user_side "$1"
}
nothing_is_left() {
	both_sides 6
	[ -z "$(ls $livepatch)" ] || fail "livepatches: $(ls $livepatch)"
	upatchctl status -p $victim >/tmp/status 2>&1
	grep -q 'no patches' /tmp/status || fail "$(cat /tmp/status)"
}

# on_host COMMAND...: with the machine's own programs, and ours.
on_host() { chroot /host env PATH="$(cat /lib/vm/path):/usr/sbin:/usr/bin:/sbin:/bin" HOME=/tmp "$@"; }
# Where they find its file.
start_victim_on_host() {
	cp /patches/first.upatch /host/tmp
	start_victim chroot /host "$(cat /lib/vm/victim)"
}
# test_of NAME: as meson runs it.
test_of() {
	mkdir -p /host/tmp/tests
	cp "/lib/vm/tests/$1" /host/tmp/tests/run
	say on_host sh /tmp/tests/run
	not_said '^not ok'
	not_said '# SKIP'
	local plan
	# A test may have several groups, each with a plan.
	plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' /tmp/said | awk '{ n += $1 } END { print n + 0 }')
	[ "$plan" -gt 0 ] || fail "no plan"
	[ "$(grep -c '^ok ' /tmp/said)" = "$plan" ] || fail "not all $plan tests ran"
}
