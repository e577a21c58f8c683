# SPDX-License-Identifier: LGPL-2.1-or-later
# Two klp patches and ten patched processes, as text and as JSON
insmod /modules/victim.ko
mkfifo /tmp/idle
processes=
for i in 1 2 3 4 5 6 7 8 9 10; do
	/bin/victim </tmp/idle >/dev/null &
	processes="$processes,$!"
done
exec 5>/tmp/idle
processes=${processes#,}
ready() { [ "$(grep -l '/bin/victim' /proc/[0-9]*/maps 2>/dev/null | wc -l)" = 10 ]; }
until_ok ready
load other
until_ok is_settled other
say upatchctl apply -p "$processes" /patches/first-kernel-first.upatch
[ "$(grep -c ' done ' /tmp/said)" = 11 ] || fail "not all are done"
say upatchctl status
[ "$(grep -cE '^ *[0-9]+ victim +first .* enabled ' /tmp/said)" = 10 ] || fail "not ten processes"
said '^kernel .* first '
said '^kernel .* other '
say upatchctl status --json
[ "$(grep -c '"comm": *"victim"' /tmp/said)" = 10 ] || fail "not ten processes in JSON"
[ "$(grep -cE '"name": *"(other|first)"' /tmp/said)" -ge 12 ] || fail "not all patches in JSON"
say upatchctl revert -q -p "$processes" --file /patches/first-kernel-first.upatch
disable other
exec 5>&-
wait
rm /tmp/idle
rmmod victim
