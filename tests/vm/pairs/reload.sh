# SPDX-License-Identifier: LGPL-2.1-or-later
# A target that goes and comes back is patched again
enable callbacks
load_plug plug
unload_plug plug
load_plug plug
disable callbacks
unload_plug plug
load_plug plug
unload_plug plug
