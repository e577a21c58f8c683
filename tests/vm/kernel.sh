# SPDX-License-Identifier: LGPL-2.1-or-later
# The kernel's half: what a scenario's words mean for klp. Everything goes to the kernel's log.
livepatch=/sys/kernel/livepatch
blocked=
refusal=0

# Not busybox's own, which tries each module twice.
insmod() { /bin/insmod "$@"; }
rmmod() { /bin/rmmod "$@"; }
event() { echo "event: $*" >/dev/kmsg; }
begin() { dmesg -c >/dev/null; insmod /modules/victim.ko || fail "insmod victim"; }
transcript() { dmesg; }

finish() {
	local patch
	for patch in $(ls $livepatch); do fail "$patch is still enabled"; done
	rmmod victim || fail "rmmod victim"
}

is_settled() { [ "$(cat "$livepatch/$1/transition" 2>/dev/null || echo 0)" = 0 ]; }
is_gone() { [ ! -e "$livepatch/$1" ]; }
is_unused() { [ "$(cat "/sys/module/$1/refcnt")" = 0 ]; }

load() { insmod "/modules/$1.ko" "replace=${2:-0}" "pre_patch_ret=$refusal" 2>/tmp/insmod; }
enable() {
	load "$@" || fail "enable $1: $(cat /tmp/insmod)"
	until_ok is_settled "$1"
}
enable_replace() { enable "$1" 1; }
enable_pending() {
	load "$@" || fail "enable $1: $(cat /tmp/insmod)"
	! is_settled "$1" || fail "enable $1 is not pending"
	event "'$1' is pending"
}
enable_pending_replace() { enable_pending "$1" 1; }
settle() { until_ok is_settled "$1"; }
# Of an open transition that disables it.
reenable() {
	echo 1 >"$livepatch/$1/enabled" || fail "enable $1 again"
	until_ok is_settled "$1"
}

# What the kernel said last, by the name that upatch has for it.
reason() {
	dmesg | tail -n 30 | sed -n '
		s/.*unresolvable ambiguity.*/ambiguous/p
		s/.*symbol position .* not found.*/sympos/p
		s/.*is not compatible.*/state/p
		s/.*pre-patch callback failed.*/callback/p' | tail -n 1
}
# Of what a program said in that file.
errno_of() {
	case $(cat "$1") in
	*"Invalid parameters"* | *"Invalid argument"*) echo EINVAL ;;
	*"No such device"*) echo ENODEV ;;
	*"busy"*) echo EBUSY ;;
	*) cat "$1" ;;
	esac
}
# why_not FILE: reason and errno, which that program said. Of what is busy the kernel's log has nothing.
why_not() {
	local why error
	why=$(reason)
	error=$(errno_of "$1")
	[ "${why:=$error}" != EBUSY ] || why=busy
	case $why,$error in
	ambiguous,EINVAL | sympos,EINVAL | state,EINVAL | callback,ENODEV | busy,EBUSY) echo "$why, $error" ;;
	*) fail "refused for '$why', '$error'" ;;
	esac
}
refuse_enable() {
	local why
	! load "$@" || fail "$1 was not refused"
	why=$(why_not /tmp/insmod) || fail "$1: $why"
	event "'$1' was refused: $why"
}
# Its module is there: by the attribute, which is what a second time is.
refuse_again() {
	! (echo 1 >"$livepatch/$1/enabled") 2>/tmp/echo || fail "$1 was enabled again"
	event "'$1' was not enabled again: $(errno_of /tmp/echo)"
}
# There is no attribute that could refuse.
refuse_disable() {
	! (echo 0 >"$livepatch/$1/enabled") 2>/tmp/echo || fail "$1 was disabled again"
	is_gone "$1" || fail "$1 is still there: $(cat /tmp/echo)"
	event "'$1' was not disabled: ENOENT"
}

disable() {
	echo 0 >"$livepatch/$1/enabled" || fail "disable $1"
	gone "$1"
}
disable_pending() {
	echo 0 >"$livepatch/$1/enabled" || fail "disable $1"
	! is_settled "$1" || fail "disable $1 is not pending"
	event "'$1' is pending"
}
# Its module can be removed, or is pinned for ever.
gone() {
	until_ok is_gone "$1"
	until_ok is_unused "$1"
	rmmod "$1" || fail "rmmod $1"
	event "'$1' is unloaded"
}
pinned() {
	until_ok is_gone "$1"
	! rmmod "$1" 2>/dev/null || fail "$1 is not pinned"
	event "'$1' is pinned"
}
force() {
	echo 1 >"$livepatch/$1/force" || fail "force $1"
	until_ok is_settled "$1"
	event "'$1' was forced"
}

load_plug() { insmod "/modules/$1.ko" || fail "insmod $1"; }
unload_plug() { rmmod "$1" || fail "rmmod $1"; }
refuse_plug() {
	! insmod "/modules/$1.ko" 2>/tmp/insmod || fail "$1 was loaded"
	[ "$(why_not /tmp/insmod)" = "callback, ENODEV" ] || fail "$1 was not loaded: $(why_not /tmp/insmod)"
	# dlopen has no errno to compare.
	event "'$1' was not loaded: callback"
}
# From now on pre_patch callbacks fail; of an enabled patch at once.
refuse_callbacks() {
	local parameter
	refusal=-19
	for parameter in /sys/module/*/parameters/pre_patch_ret; do
		[ ! -e "$parameter" ] || echo $refusal >"$parameter"
	done
}

answer() { event "answer: $(cat /proc/victim)"; }
is_task_blocked() { grep -q block "/proc/$blocked/stack"; }
block() {
	echo b >/proc/victim &
	blocked=$!
	until_ok is_task_blocked
}
release() {
	local parameter
	echo r >/proc/victim
	for parameter in /sys/module/*/parameters/released; do
		[ ! -e "$parameter" ] || echo 1 >"$parameter"
	done
	wait $blocked
}
