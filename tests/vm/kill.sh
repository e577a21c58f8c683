# SPDX-License-Identifier: LGPL-2.1-or-later
# For scenarios where the tool is killed: what it leaves is between two versions, and the next one brings it to an end.
killed=0
from=

# passes thorough: behind each system call that changes something. passes sparse: behind each that changes the
# kernel, and each third of all, where what is done to the process is as in a thorough one.
passes() {
	passes=all
	[ "$1" = thorough ] || passes="kernel third"
}
begin_pass() {
	only=
	step=1
	case $1 in
	kernel) only=-k ;;
	third) step=3 ;;
	esac
}
end_passes() {
	at=
	rmmod victim
	echo "killed at $killed points"
	[ $killed -ge "$1" ] || fail "there were hardly any"
}

# kill_at POINT STATUS COMMAND...: fails when it ends before, which it must with that status. Whatever a killed
# one left: both sides answer, each in one of its two versions, which $versions has as KERNEL:PROCESS.
kill_at() {
	local point=$1 status=$2 rc=0 kernel user
	shift 2
	at="point $point of $1"
	killat $only ${from:+-f $from} $point upatchctl -v "$@" >/tmp/said 2>&1 || rc=$?
	case $rc in
	0) killed=$((killed + 1)) ;;
	$((100 + status))) return 1 ;;
	*) fail "killat says $rc: $(cat /tmp/said)" ;;
	esac
	read -r kernel _ </proc/victim
	user=$(ask answer)
	case " $versions " in
	*" $kernel:${user%% *} "*) ;;
	*) fail "kernel $kernel, process $user" ;;
	esac
}

# kill_next VARIABLE STATUS COMMAND...: at the point that it has, and then it has the next one, or none.
kill_next() {
	local variable=$1 next
	shift
	eval next=\$$variable
	if [ -n "$next" ] && kill_at $next "$@"; then
		eval $variable=$((next + step))
	else
		eval $variable=
	fi
}

# next REASON COMMAND...: it does what is left to do, or says by that reason that nothing is.
next() {
	local reason=$1
	shift
	upatchctl -q "$@" >/tmp/said 2>&1 || grep -q "\[$reason\]" /tmp/said ||
		fail "upatchctl $*: $(cat /tmp/said)"
}
enabled() {
	next exists apply -p $victim $file
	both_sides $value
}
disabled() {
	next not-applied revert -p $victim --file $file
	nothing_is_left
	[ ! -e "/sys/module/$patch" ] || fail "the module is still loaded"
}
# use PATCH ORDER VALUE VERSIONS: what secret() returns with it.
use() {
	insmod /modules/victim.ko
	start_victim
	patch=$1
	file=/patches/$1-$2.upatch
	value=$3
	versions=$4
}

# changes ORDER: apply and revert are killed by turns, and gone on with or taken back by turns.
changes() {
	local apply revert turn=0
	for pass in $passes; do
		begin_pass $pass
		apply=1 revert=1
		while [ -n "$apply$revert" ]; do
			turn=$((turn + 1))
			# It is not enabled at turns 0 and 1 of 4.
			if [ $((turn % 4)) -lt 2 ]; then
				kill_next apply 0 apply -p $victim $file
			else
				kill_next revert 0 revert -p $victim --file $file
			fi
			case $((turn % 4)) in
			1 | 2) enabled ;;
			*) disabled ;;
			esac
		done
	done
	disabled
}

# reversals BACK AGAIN REASON COMMAND...: it fails for that reason as long as something is held, and is killed
# from where it reverses. Then by turns: BACK takes it back; it fails once more; nothing is held any more, and
# AGAIN goes on.
reversals() {
	local back=$1 again=$2 reason=$3 point turn=0
	shift 3
	from=reversing
	hold
	for pass in $passes; do
		begin_pass $pass
		point=1
		while [ -n "$point" ]; do
			kill_next point 1 "$@"
			turn=$((turn + 1))
			case $((turn % 3)) in
			1) $back ;;
			2)
				say is=1 upatchctl -q "$@"
				said "\[$reason\]"
				# What the killed one had done was there already, and is no part of that one.
				$back
				;;
			0)
				let_go
				$again
				$back
				hold
				;;
			esac
		done
	done
	$back
	let_go
}
