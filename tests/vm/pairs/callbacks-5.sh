# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, target module not present
enable callbacks
disable callbacks
