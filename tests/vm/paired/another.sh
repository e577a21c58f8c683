# SPDX-License-Identifier: LGPL-2.1-or-later
# Another livepatch of the same name is not taken for the one in the file
insmod /modules/victim.ko
start_victim
# Its build ID is all that tells them apart.
cp /modules/first.ko /tmp/first.ko
[ "$(dd if=/tmp/first.ko bs=1 skip=76 count=3 2>/dev/null)" = GNU ] || fail "its note is elsewhere"
printf another | dd of=/tmp/first.ko bs=1 seek=80 conv=notrunc 2>/dev/null
insmod /tmp/first.ko || fail "insmod"
until_ok is_settled first
for order in kernel-first userspace-first; do
	file=/patches/first-$order.upatch
	say is=1 upatchctl check -p $victim $file
	said '^kernel .* refused +build-id'
	say is=1 upatchctl apply -p $victim $file
	said '^kernel .* refused +build-id'
	user_side 6
	say upatchctl apply -q -p $victim --no-kernel $file
	say is=1 upatchctl revert -p $victim --file $file
	said '^kernel .* refused +build-id'
	kernel_side 1
	user_side 1
	say upatchctl revert -q -p $victim first
done
say is=1 upatchctl kernel apply /modules/first.ko
said 'build-id'
disable first
nothing_is_left
# A check of both sides says what apply would do with each.
file=/patches/first-kernel-first.upatch
say upatchctl check -p $victim $file
said '^kernel .* applicable'
# By whatever path, its own sysfs is its own.
say upatchctl kernel apply --sysfs-root=/sys/. /modules/first.ko
say upatchctl check -p $victim $file
said '^kernel .* there'
said "^ *$victim victim +first +applicable"
say upatchctl apply -q -p $victim $file
say is=1 upatchctl check -p $victim $file
said 'exists'
say upatchctl revert -q -p $victim --file $file
nothing_is_left
rmmod victim
