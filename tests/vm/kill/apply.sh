# SPDX-License-Identifier: LGPL-2.1-or-later
# The tool is killed at each of its system calls: the next run finishes, or takes back
insmod /modules/victim.ko
start_victim
file=/patches/first-userspace-first.upatch
point=0
finished=0
undone=0
while :; do
	point=$((point + 1))
	at="point $point"
	rc=0
	killat $point upatchctl apply -p $victim $file >/tmp/said 2>&1 || rc=$?
	[ $rc != 100 ] || break
	[ $rc = 0 ] || fail "killat says $rc: $(cat /tmp/said)"
	# Whatever it left: both answer, each in one of its two versions.
	kernel=$(cut -d' ' -f1 /proc/victim)
	user=$(ask answer | cut -d' ' -f1)
	case $kernel$user in
	66 | 61 | 11) ;;
	*) fail "kernel $kernel, process $user" ;;
	esac
	# By turns: go on, or take back what is there.
	if [ $((point % 2)) = 0 ]; then
		upatchctl apply -p $victim $file >/tmp/said 2>&1 || grep -q exists /tmp/said ||
			fail "apply: $(cat /tmp/said)"
		both_sides 1
		finished=$((finished + 1))
	else
		undone=$((undone + 1))
	fi
	upatchctl revert -p $victim --file $file >/tmp/said 2>&1 || grep -q not-applied /tmp/said ||
		fail "revert: $(cat /tmp/said)"
	nothing_is_left
	[ ! -e /sys/module/first ] || fail "the module is still loaded"
done
at=
echo "killed at $((point - 1)) points: gone on with after $finished, taken back after $undone"
[ $point -gt 20 ] || fail "there were hardly any"
upatchctl revert -q -p $victim --file $file
nothing_is_left
rmmod victim
