# SPDX-License-Identifier: LGPL-2.1-or-later
# Enable 1, 2, 3, then without 2 it is 3, without 3 it is 1
enable first
enable second
enable third
answer
disable second
answer
disable third
answer
disable first
answer
