# SPDX-License-Identifier: LGPL-2.1-or-later
# One transition at a time
block
enable_pending unblock
refuse_enable first
disable unblock
release
enable first
answer
disable first
