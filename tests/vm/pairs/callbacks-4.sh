# SPDX-License-Identifier: LGPL-2.1-or-later
# test-callbacks.sh, module_coming and module_going notifiers
enable callbacks
load_plug plug
unload_plug plug
disable callbacks
