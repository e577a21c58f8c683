# SPDX-License-Identifier: LGPL-2.1-or-later
# test-livepatch.sh, basic function patching
answer
enable first
answer
disable first
answer
