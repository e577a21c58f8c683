# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, multiple target modules
load_plug plug2
enable callbacks
load_plug plug
unload_plug plug
disable callbacks
unload_plug plug2
