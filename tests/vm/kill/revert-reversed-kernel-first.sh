# SPDX-License-Identifier: LGPL-2.1-or-later
# A revert that a task holds up in the kernel, killed when it enables all again
. /lib/vm/kill.sh
use still kernel-first 5 "6:6 5:6 5:5"
hold() { block; }
let_go() { release; }
passes sparse
enabled
reversals enabled disabled kernel-tasks revert --wait=3 -p $victim --file $file
disabled
end_passes 10
