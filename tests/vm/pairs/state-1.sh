# SPDX-License-Identifier: LGPL-2.1-or-later
# test-state.sh, system state modification
enable state
answer
disable state
