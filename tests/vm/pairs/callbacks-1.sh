# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, target module before livepatch
load_plug plug
enable callbacks
answer
disable callbacks
unload_plug plug
