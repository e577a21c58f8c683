# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, multiple livepatches
enable callbacks
enable callbacks2
answer
disable callbacks2
disable callbacks
answer
