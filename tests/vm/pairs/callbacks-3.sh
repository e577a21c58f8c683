# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, module_going notifier
load_plug plug
enable callbacks
unload_plug plug
disable callbacks
