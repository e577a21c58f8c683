# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, atomic replace: of the one that is replaced no unpatch callback runs
enable callbacks
enable_replace callbacks2
answer
gone callbacks
disable callbacks2
answer
