# SPDX-License-Identifier: LGPL-2.1-or-later
# What run puts into a guest, by group. Uses its variables: build, here, source, work, root, release.

# build_modules SOURCE_DIR WHERE: what its Kbuild lists, stripped, in the guest's /modules. Built once for all.
build_modules() {
	local from=$1 modules=$work/modules/$2 file
	mkdir -p "$modules" "$root/modules"
	(
		flock 9
		cp -u "$from"/* "$modules"
		make -C "/lib/modules/$release/build" M="$modules" modules >"$modules/log" 2>&1
	) 9>"$modules/lock" || die "kbuild failed: $(grep -m 5 -E 'error|undefined' "$modules/log")"
	for file in "$modules"/*.ko; do
		strip -g -o "$root/modules/$(basename "$file")" "$file"
	done
}

# Names of what both a klp module and a .upatch are made of.
patches() {
	grep -l '"patch.h"' "$here"/modules/*.c | sed 's,.*/,,; s/\.c$//'
}

# Each object has a source file of its own.
wrapper() {
	local path=$work/$group.sources/$1-$2.c
	{
		echo "#define OBJECT \"$2\""
		[ "$2" = victim ] || echo "#define IS_PLUG"
		echo "#include \"$1.c\""
	} >"$path"
	echo "$path"
}

# build_patch NAME OUTPUT [OPTION]...: of modules/NAME.c
build_patch() {
	local name=$1 output=$2 objects=victim object arguments=()
	shift 2
	mkdir -p "$work/$group.sources" "$root/patches"
	! grep -q PLUGS "$here/modules/$name.c" || objects="victim plug plug2"
	for object in $objects; do
		arguments+=(--source "$(wrapper "$name" "$object")")
		arguments+=(--object "$object=$(object_path "$object")")
	done
	UPATCH_INCLUDEDIR=$source/include "$build/upatchctl/upatchctl" build --json --name "$name" \
		--cflag="-I$here/modules" -o "$root/patches/$output.upatch" "${arguments[@]}" "$@" \
		>"$root/patches/$output.refused" && rm "$root/patches/$output.refused"
	# Whether a refusal is right is for a scenario to say; one nobody expects fails there.
}

object_path() {
	case $1 in
	victim) echo "$root/bin/victim" ;;
	*) echo "$root/lib/$1" ;;
	esac
}

# Programs with their libraries, and what loads them.
add_programs() {
	local program
	for program in "$@"; do
		cp "$program" "$root/bin/"
		add_libraries "$program"
	done
}

add_libraries() {
	local library
	for library in $({ ldd "$1" 2>/dev/null || true; } | grep -o '/[^ )]*'); do
		# The loader finds them there, ours as well; itself it is found by its path.
		mkdir -p "$root/lib/x86_64-linux-gnu" "$root/lib64"
		case $library in
		/lib64/*) cp -Lu "$library" "$root/lib64/" ;;
		*) cp -Lu "$library" "$root/lib/x86_64-linux-gnu/" ;;
		esac
	done
}

add_kmod() {
	local name
	add_programs "$(command -v kmod)"
	for name in insmod rmmod; do ln -s kmod "$root/bin/$name"; done
}

# Those of modules/, and the program and libraries that are patched.
add_victims() {
	local name
	add_kmod
	add_programs "$build/upatchctl/upatchctl" "$build/tests/vm/victim"
	for name in plug plug2; do cp "$build/tests/vm/lib$name.so" "$root/lib/$name"; done
	build_modules "$here/modules" scenarios
}

# The machine's own files, read only, by 9p: compilers and debuggers need not be put together anew.
add_host() {
	local module file
	mkdir -p "$root/modules"
	for module in virtio_pci 9pnet_virtio 9p; do
		for file in $(modprobe --show-depends -S "$release" "$module" | sed 's/^insmod //'); do
			echo "$(basename "$file")"
			cp -u "$file" "$root/modules"
		done
	done | awk '!seen[$0]++' >"$root/lib/vm/host_modules"
	# The outer one first: a build in the sources comes along with them.
	printf "%s\n" "$source" "$build" >"$root/lib/vm/host_folders"
	host=(-virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap")
}

# What meson runs, as scripts: /lib/vm/tests/integration/apply and so on.
add_tests() {
	mkdir -p "$root/lib/vm/tests"
	meson introspect --tests "$build" | python3 -c '
import json, os, shlex, sys
for test in json.load(sys.stdin):
    name = test["name"].removeprefix("upatch:").split(" / ")[-1]
    path = os.path.join(sys.argv[1], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    env = {**test["env"], **dict(word.split("=", 1) for word in sys.argv[2:])}
    words = ["env"] + [f"{key}={value}" for key, value in env.items()] + test["cmd"]
    print("exec", shlex.join(words), file=open(path, "w"))
' "$root/lib/vm/tests" "CC=$here/cc" "UPATCH_VM_OBJECTS=$work/objects"
}

# Compile what they compile here, where that is fast: they are run for nothing else.
prepare_tests() {
	local name
	mkdir -p "$work/objects"
	for name in $(sed -n 's/^test_of //p' $(printf "$here/suite/%s.sh " "${scenarios[@]}")); do
		timeout 30 sh "$root/lib/vm/tests/$name" >/dev/null 2>&1 </dev/null || true
	done
}

# --- groups ------------------------------------------------------------------------------------

add_pairs() {
	local name
	add_victims
	for name in $(patches); do
		build_patch "$name" "$name" || true
		case $name in sympos_* | force_[de]* | still | unblock | busy) continue ;; esac
		build_patch "$name" "$name-replace" --replace || true
	done
}

# build_paired OUTPUT PATCH MODULE [OPTION]...: processes by PATCH, the kernel by MODULE
build_paired() {
	local output=$1 name=$2 module=$root/modules/$3.ko
	shift 3
	build_patch "$name" "$output" --kernel-module "$module" "$@" || die "cannot build $output: $(
		cat "$root/patches/$output.refused")"
}

add_kill() {
	add_paired
	cp "$here/kill.sh" "$root/lib/vm/"
}

add_paired() {
	local order
	add_victims
	build_modules "$source/patches/meter/kernel" meter
	add_programs "$build/tests/vm/reader" "$build/tests/vm/killat"
	for order in kernel-first userspace-first; do
		build_paired "first-$order" first first --order "$order"
		build_paired "cumulative-$order" first first --order "$order" --replace
		build_paired "unblock-$order" unblock unblock --order "$order"
		build_paired "still-$order" still still --order "$order"
		build_paired "unloadable-$order" first sympos_ambiguous --order "$order"
		UPATCH_INCLUDEDIR=$source/include "$build/upatchctl/upatchctl" build -q --name meter \
			--source "$source/patches/meter/parse.c" --object "reader=$root/bin/reader" \
			--kernel-module "$root/modules/meter_fix.ko" --order "$order" \
			-o "$root/patches/meter-$order.upatch" || die "cannot build the meter's patch"
	done
	# One that no process here fits, and klp modules alone.
	build_patch second second || true
}

add_suite() {
	add_kmod
	add_host
	add_tests
	prepare_tests
}

add_tools() {
	add_victims
	add_host
	build_patch first first || die "cannot build a patch"
	cp "$here/uprobe.sh" "$root/lib/vm/"
	echo "$build/upatchctl" >"$root/lib/vm/path"
	echo "$build/tests/vm/victim" >"$root/lib/vm/victim"
	# Text is mapped where it is in the file, or the address says too much: objdump knows.
	objdump -d -F --no-show-raw-insn "$root/bin/victim" |
		sed -n 's/^[0-9a-f]* <\([a-z_]*\)> (File Offset: \(0x[0-9a-f]*\)):$/\1 \2/p' >"$root/lib/vm/offsets"
}

# The machine's own systemd and bus, and of their units those that any boot has.
systemd_programs=(/lib/systemd/systemd{,-journald,-shutdown}
	/usr/bin/{busctl,dbus-daemon,journalctl,systemctl,systemd-analyze,systemd-tmpfiles})
systemd_units=({sysinit,basic,multi-user,sockets,paths,slices,timers,local-fs,local-fs-pre,swap}.target
	{shutdown,umount,final,poweroff}.target systemd-poweroff.service systemd-tmpfiles-setup.service
	systemd-journald{.service,.socket,-dev-log.socket} dbus.{service,socket})

# add_files FILE...: the machine's, where they are
add_files() {
	local file
	for file in "$@"; do
		[ -e "$file" ] || die "there is no $file: scripts/deps installs it"
		mkdir -p "$root/$(dirname "$file")"
		cp "$file" "$root/$file"
		add_libraries "$file"
	done
}

# wanted_by TARGET UNIT...
wanted_by() {
	local wants=$root/lib/systemd/system/$1.wants unit
	mkdir -p "$wants"
	shift
	for unit in "$@"; do ln -s "../$unit" "$wants"; done
}

add_systemd() {
	local name users='root 0 0 messagebus 101 101 victim 1000 1000 nobody 65534 65534'
	mkdir -p "$root"/{etc,run,usr,var}
	ln -s bin "$root/sbin"
	ln -s ../run "$root/var/run"
	for name in bin lib sbin; do ln -s "../$name" "$root/usr/$name"; done
	add_files "${systemd_programs[@]}" "${systemd_units[@]/#//lib/systemd/system/}" \
		/usr/share/dbus-1/{system.conf,system.d/org.freedesktop.systemd1.conf}
	wanted_by sysinit.target systemd-journald.service systemd-tmpfiles-setup.service
	wanted_by sockets.target dbus.socket systemd-journald{,-dev-log}.socket
	wanted_by multi-user.target dbus.service scenarios.service
	ln -s multi-user.target "$root/lib/systemd/system/default.target"
	cp "$here"/units/*.service "$root/lib/systemd/system/"
	mkdir "$root/lib/systemd/system-shutdown"
	cp "$here/units/done" "$root/lib/systemd/system-shutdown/"
	printf '%s:x:%d:%d::/:/bin/sh\n' $users >"$root/etc/passwd"
	printf '%s:x:%d:%d\n' $users | sed 's/:[0-9]*$/:/' >"$root/etc/group"
	echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
	for name in $(busybox --list); do ln -s busybox "$root/bin/$name" 2>/dev/null || true; done
	add_programs "$build/tests/vm/victim"
	build_patch first first || die "cannot build a patch"
	cp "$here/systemd.sh" "$root/lib/vm/"
	install_upatch
}

# All that meson installs, where it says; and what an admin, or his package manager, does then.
install_upatch() {
	local program
	for program in upatchctl/upatchctl daemon/upatchd; do add_libraries "$build/$program"; done
	rm "$root/lib/x86_64-linux-gnu"/libupatch*
	DESTDIR=$root meson install -C "$build" --no-rebuild --quiet >"$work/$group.install" 2>&1 ||
		die "meson install failed: $(tail -n 1 "$work/$group.install")"
	add_files /sbin/ldconfig
	cp -r /etc/ld.so.conf* "$root/etc/"
	systemctl --quiet --root="$root" preset upatchd.service
}
