# SPDX-License-Identifier: LGPL-2.1-or-later
# An apply that a task holds up in the kernel, killed when it reverses the process and that kernel
. /lib/vm/kill.sh
use unblock userspace-first 4 "4:4 6:4 6:6"
hold() { block; }
let_go() { release; }
passes sparse
reversals disabled enabled kernel-tasks apply --wait=3 -p $victim $file
nothing_is_left
end_passes 10
