# SPDX-License-Identifier: LGPL-2.1-or-later
# test-livepatch.sh, multiple livepatches
enable first
enable other
answer
disable other
answer
disable first
answer
