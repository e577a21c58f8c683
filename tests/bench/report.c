/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/array.h"

void samples_add(struct samples *samples, double value)
{
	if (samples->nr < SAMPLES_MAX)
		samples->values[samples->nr++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct samples sorted(const struct samples *samples)
{
	struct samples copy = *samples;

	qsort(copy.values, copy.nr, sizeof(copy.values[0]), compare);
	return copy;
}

double samples_median(const struct samples *samples)
{
	struct samples s = sorted(samples);

	if (!s.nr)
		return 0;
	return (s.values[(s.nr - 1) / 2] + s.values[s.nr / 2]) / 2;
}

void report_add(struct report *report, const struct samples *samples, const struct report_row *row)
{
	struct samples s = sorted(samples);
	struct report_row *added;

	if (!s.nr)
		return;
	assert(report->nr < REPORT_ROWS_MAX);
	added = &report->rows[report->nr++];
	*added = *row;
	added->value = samples_median(&s);
	added->min = s.values[0];
	added->max = s.values[s.nr - 1];
	added->nr = s.nr;
	(void)fprintf(stderr, "%s: %.3g %s\n", added->what, added->value, added->unit);
}

void report_note(struct report *report, const char *fmt, ...)
{
	size_t at = strlen(report->notes);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(report->notes + at, sizeof(report->notes) - at, fmt, ap); /* may be cut */
	va_end(ap);
	(void)strncat(report->notes, "\n", sizeof(report->notes) - strlen(report->notes) - 1);
}

static const char *judge(const struct report_row *row)
{
	if (row->goal == 0)
		return "";
	return row->value <= row->goal ? "yes" : "NO";
}

void report_print(const struct report *report)
{
	printf("%-52s %10s %10s %10s  %-5s %8s %8s %4s  %s\n", "what", "median", "min", "max",
	       "unit", "ratio", "goal", "met", "peers");
	for (size_t i = 0; i < report->nr; i++) {
		const struct report_row *row = &report->rows[i];
		char ratio[24] = "", goal[24] = "";

		if (row->base > 0)
			(void)snprintf(ratio, sizeof(ratio), "%.2f", row->value / row->base);
		if (row->goal > 0)
			(void)snprintf(goal, sizeof(goal), "%g", row->goal);
		printf("%-52s %10.3f %10.3f %10.3f  %-5s %8s %8s %4s  %s\n", row->what, row->value,
		       row->min, row->max, row->unit, ratio, goal, judge(row),
		       row->peers ? row->peers : "");
	}
	fputs(report->notes, stdout);
}

static struct json_object *row_json(const struct report_row *row)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "what", json_object_new_string(row->what));
	json_object_object_add(o, "unit", json_object_new_string(row->unit));
	json_object_object_add(o, "median", json_object_new_double(row->value));
	json_object_object_add(o, "min", json_object_new_double(row->min));
	json_object_object_add(o, "max", json_object_new_double(row->max));
	json_object_object_add(o, "runs", json_object_new_int64((int64_t)row->nr));
	if (row->base > 0)
		json_object_object_add(o, "ratio", json_object_new_double(row->value / row->base));
	if (row->goal > 0) {
		json_object_object_add(o, "goal", json_object_new_double(row->goal));
		json_object_object_add(o, "met", json_object_new_boolean(row->value <= row->goal));
	}
	if (row->peers)
		json_object_object_add(o, "peers", json_object_new_string(row->peers));
	return o;
}

int report_write_json(const struct report *report, const char *path)
{
	struct json_object *top = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	struct utsname machine;
	int r = 0;

	if (uname(&machine) == 0)
		json_object_object_add(top, "kernel", json_object_new_string(machine.release));
	json_object_object_add(top, "version", json_object_new_string(UPATCH_VERSION));
	for (size_t i = 0; i < report->nr; i++)
		(void)json_object_array_add(rows, row_json(&report->rows[i])); /* aborts itself */
	json_object_object_add(top, "rows", rows);
	json_object_object_add(top, "notes", json_object_new_string(report->notes));
	if (json_object_to_file_ext(path, top, JSON_C_TO_STRING_PRETTY) < 0)
		r = -EIO;
	json_object_put(top);
	return r;
}
