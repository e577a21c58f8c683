# SPDX-License-Identifier: LGPL-2.1-or-later
# A real pair: the format of a file of the kernel, and the program that reads it
insmod /modules/meter.ko
start_victim /bin/reader
numbers() { ask stat | sed 's/[a-z]//g'; }
# field N: of "read new wrong"
field() { numbers | awk "{ print \$$1 }"; }
is_beyond() { [ "$(field $1)" -gt "$2" ]; }
# Many more values are read, in whatever format.
under_load() {
	local now
	now=$(field 1)
	until_ok is_beyond 1 $((now + 300))
}
old_format() { grep -qE '^[0-9]+ [0-9]+$' /proc/meter || fail "$(cat /proc/meter)"; }
new_format() { grep -qE '^sum=[0-9]+ count=[0-9]+$' /proc/meter || fail "$(cat /proc/meter)"; }

old_format
for round in 1 2 3; do
	under_load
	new=$(field 2)
	say upatchctl apply -p $victim /patches/meter-userspace-first.upatch
	new_format
	until_ok is_beyond 2 $((new + 300))
	say upatchctl revert -p $victim --file /patches/meter-userspace-first.upatch
	old_format
	under_load
	echo "$(ask stat)"
	[ "$(field 3)" = 0 ] || fail "values were misread"
done
# That it would have been seen: in the other order the program meets a format that it does not know.
say upatchctl apply -q -p $victim /patches/meter-kernel-first.upatch
under_load
say upatchctl revert -q -p $victim --file /patches/meter-kernel-first.upatch
echo "in the wrong order: $(ask stat)"
[ "$(field 3)" -gt 0 ] || fail "nothing was misread in the wrong order"
stop_victim
victim=
rmmod meter
