# SPDX-License-Identifier: LGPL-2.1-or-later
# Userspace's half: what a scenario's words mean for upatch. Everything goes to one file.
. /lib/vm/process.sh
transcript=/tmp/transcript

event() { echo "event: $*" >>$transcript; }
transcript() { cat $transcript; }

begin() {
	: >$transcript
	rm -f /tmp/refuse
	start_victim
}
finish() { stop_victim; }

# What happened while no tool was there is told by the next one.
tool() { upatchctl -v "$@" >/tmp/out 2>>$transcript; }
report() { tool wait -p $victim; }

change() {
	local expected=$1 rc=0
	shift
	tool "$@" || rc=$?
	[ $rc = "$expected" ] || fail "upatchctl $*: exit status $rc, expected $expected"
}
enable() { change 0 apply -p $victim --wait=60 "/patches/$1.upatch"; }
enable_replace() { enable "$1-replace"; }
enable_pending() {
	change 3 apply -p $victim --no-wait "/patches/$1.upatch"
	event "'${1%-replace}' is pending"
}
enable_pending_replace() { enable_pending "$1-replace"; }
settle() { change 0 wait -p $victim --wait=60; }
reenable() { enable "$1"; }
# value_of FIELD FILE: of the first error in that JSON
value_of() { sed -n 's/^ *"'"$1"'": *"\([A-Za-z-]*\)".*/\1/p' "$2" | head -n 1; }
# refused STATUS COMMAND...: reason and errno are in $why
refused() {
	change "$@" --json
	why_not /tmp/out
}
why_not() {
	why="$(value_of reason "$1"), $(value_of errno "$1")"
	[ -n "${why#*, }" ] || fail "no errno in $(cat "$1")"
}
# What build refused there is no patch of.
refuse_enable() {
	if [ -e "/patches/$1.refused" ]; then
		why_not "/patches/$1.refused"
		event "'$1' was refused to be built: $why"
	else
		refused 1 apply -p $victim --no-wait "/patches/$1.upatch"
		event "'$1' was refused: $why"
	fi
}
refuse_again() {
	refused 1 apply -p $victim "/patches/$1.upatch"
	[ "${why%, *}" = exists ] || fail "$1 is refused for $why"
	event "'$1' was not enabled again: ${why#*, }"
}
refuse_disable() {
	refused 4 revert -p $victim "$1"
	[ "${why%, *}" = not-applied ] || fail "$1 is refused for $why"
	event "'$1' was not disabled: ${why#*, }"
}
state_of() { upatchctl status -p $victim 2>&1 | grep -w "$1" | grep -ow kept; }
disable() {
	change 0 revert -p $victim --wait=60 "$1"
	gone "$1"
}
disable_pending() {
	change 3 revert -p $victim --no-wait "$1"
	event "'$1' is pending"
}
# A word on a stack may look like a reference: the victim moves on, then it is unmapped.
gone() {
	if [ -n "$(state_of "$1")" ]; then
		ask scrub >/dev/null
		upatchctl gc -p $victim >/dev/null 2>&1
		[ -z "$(state_of "$1")" ] || fail "$1 is kept"
	fi
	event "'$1' is unloaded"
}
pinned() {
	ask scrub >/dev/null
	upatchctl gc -p $victim >/dev/null 2>&1
	[ -n "$(state_of "$1")" ] || fail "$1 is not pinned"
	event "'$1' is pinned"
}
force() {
	change 0 force -p $victim --yes
	event "'$1' was forced"
}

load_plug() {
	local answer
	answer=$(ask open "$1")
	[ "$answer" = ok ] || fail "open $1: $answer"
	report
}
unload_plug() {
	[ "$(ask close "$1")" = ok ] || fail "close $1"
	report
}
refuse_plug() {
	local answer
	answer=$(ask open "$1")
	case $answer in
	*"patch '"*"' refuses it: pre-patch callback failed") ;;
	*) fail "open $1: $answer" ;;
	esac
	# It lives.
	ask answer >/dev/null
	report
	event "'$1' was not loaded: callback"
}
refuse_callbacks() { : >/tmp/refuse; }

answer() { event "answer: $(ask answer)"; }
block() { block_thread; }
release() { release_thread; }
