# SPDX-License-Identifier: LGPL-2.1-or-later
# A task holds the kernel's part: the process's is reversed, and nobody was held meanwhile
insmod /modules/victim.ko
start_victim
for order in userspace-first kernel-first; do
	block
	upatchctl apply -p $victim --wait=3 /patches/unblock-$order.upatch >/tmp/said 2>&1 &
	tool=$!
	is_open() { grep -q 1 $livepatch/unblock/transition 2>/dev/null; }
	until_ok is_open
	# The kernel's transition is open: the process answers, in whichever version.
	answers=0
	while is_open; do
		ask answer >/dev/null
		answers=$((answers + 1))
		grep -q '^TracerPid:.0' /proc/$victim/status || fail "it is traced"
		grep -q '^State:.[SR]' /proc/$victim/status || fail "it does not run: $(grep State /proc/$victim/status)"
	done
	echo "while the kernel's transition was open the process answered $answers times"
	[ $answers -gt 20 ] || fail "it hardly answered"
	rc=0
	wait $tool || rc=$?
	cat /tmp/said
	[ $rc = 1 ] || fail "exit status $rc"
	said 'kernel-tasks'
	said "pid $blocked, task $blocked"
	said '^kernel .* reversed +kernel-tasks'
	[ $order = kernel-first ] || said "^ *$victim victim +unblock +reversed"
	[ $order = userspace-first ] || said "^ *$victim victim +unblock +untouched"
	nothing_is_left
	release
done
rmmod victim
