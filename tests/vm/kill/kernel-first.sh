# SPDX-License-Identifier: LGPL-2.1-or-later
# Apply and revert in the other order, killed
. /lib/vm/kill.sh
use first kernel-first 1 "6:6 1:6 1:1"
passes thorough
changes
end_passes 100
