# SPDX-License-Identifier: LGPL-2.1-or-later
# test-state.sh, taking over system state modification
enable state
enable_replace state2
answer
gone state
disable state2
