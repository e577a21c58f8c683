# SPDX-License-Identifier: LGPL-2.1-or-later
# test-state.sh, incompatible cumulative livepatches
enable_replace state2
refuse_enable state
answer
disable state2
