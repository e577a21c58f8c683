# SPDX-License-Identifier: LGPL-2.1-or-later
# test-state.sh, compatible cumulative livepatches
enable_replace state2
enable_replace state3
gone state2
enable_replace state2
gone state3
answer
disable state2
