/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_EXPORT_H
#define BASE_EXPORT_H

/* Marks what the shared library exports; everything else is hidden. Also in libupatch.map. */
#define EXPORT __attribute__((visibility("default")))

#endif
