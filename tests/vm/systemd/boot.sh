# SPDX-License-Identifier: LGPL-2.1-or-later
# What a boot makes of the files that were installed, as they are
say systemctl is-system-running --wait
said '^running$'
no_failed_units
! journalctl -q -b | grep -i 'ordering cycle' || fail "units are ordered in a circle"
SYSTEMD_COLORS=0 say systemd-analyze verify --man=no default.target upatchd.service upatchd.socket
[ ! -s /tmp/said ] || fail "systemd-analyze has something to say"

# Ready, before anything ordinary starts; and the watchdog is waiting.
is_shown upatchd ActiveState=active SubState=running Type=notify NotifyAccess=main NRestarts=0 \
	WatchdogUSec=1min DropInPaths= NeedDaemonReload=no UnitFilePreset=enabled
[ "$(show upatchd ActiveEnterTimestampMonotonic)" -lt "$(show sysinit.target ActiveEnterTimestampMonotonic)" ] ||
	fail "what starts early is not patched as it starts"
is_shown upatchd.socket ActiveState=active
until_ok busctl status org.upatch.Manager1 >/dev/null
say property Version

# Petted, and alive when the time is over.
pid=$(pid_of upatchd)
petted=$(show upatchd WatchdogTimestampMonotonic)
sleep 70
is_shown upatchd ActiveState=active NRestarts=0 "MainPID=$pid"
[ "$(show upatchd WatchdogTimestampMonotonic)" -gt "$petted" ] || fail "the watchdog was not petted"

# The sandbox is one: it may write in its two places only, and has no seccomp filter, which targets need it to lack.
say grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status
said '^NoNewPrivs:.1$'
said '^Seccomp:.0$'
said '^CapBnd:.0000000000281022$'
for folder in / /etc/upatch /usr /var/lib /tmp /root; do
	say is=1 nsenter -t $pid -m touch $folder/written
	said 'Read-only file system'
done
for folder in /var/lib/upatch /run/upatch; do
	say nsenter -t $pid -m touch $folder/written
	rm $folder/written
done

# tmpfiles.d: folders and modes, and modes that somebody has changed.
modes() { stat -c '%n %a %U %G' /etc/upatch /run/upatch /run/upatch/bus /var/lib/upatch; }
expected='/etc/upatch 755 root root
/run/upatch 755 root root
/run/upatch/bus 666 root root
/var/lib/upatch 755 root root'
[ "$(modes)" = "$expected" ] || fail "$(modes)"
chmod 0700 /run/upatch /var/lib/upatch
rmdir /etc/upatch
say systemd-tmpfiles --create upatch.conf
[ "$(modes)" = "$expected" ] || fail "$(modes)"

# The preset enables all that is to be enabled.
units="upatchd.service upatchd.socket dbus-org.upatch.Manager1.service"
say systemctl is-enabled $units
say systemctl disable upatchd.service
say is=1 systemctl is-enabled upatchd.service upatchd.socket
say systemctl preset upatchd.service
say systemctl is-enabled $units
not_said disabled
