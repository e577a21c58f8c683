/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_REPORT_H
#define UPATCHCTL_REPORT_H

#include <json.h>
#include <stdio.h>

/** report_print() - the model's warnings and errors as text, with the next step to take */
void report_print(struct json_object *model, FILE *out);

#endif
