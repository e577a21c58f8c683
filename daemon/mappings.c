/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mappings.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cleanup.h"

enum {
	RING_PAGES = 64,   /* of each CPU: two thousand mappings; a power of two */
	RECORD_MAX = 8192, /* the kernel's are shorter: a path and some numbers */
	BUILD_ID_MAX = 20,
};

/* perf_event_open(2), PERF_RECORD_MMAP2 with PERF_RECORD_MISC_MMAP_BUILD_ID, as far as it is used */
struct mapping_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	union {
		struct {
			uint8_t build_id_size;
			uint8_t unused[3];
			uint8_t build_id[BUILD_ID_MAX];
		};
		struct {
			uint32_t major, minor;
			uint64_t inode; /* 0: it is no file */
		};
	};
};

/* Events of one CPU: they are in the order in which they happened. */
struct ring {
	struct mappings *mappings;
	sd_event_source *source;
	struct perf_event_mmap_page *page; /* then RING_PAGES of records */
	int fd;
};

struct mappings {
	struct mappings_receiver receiver;
	size_t page_size;
	struct ring *rings;
	size_t nr;
};

/* --- records ----------------------------------------------------------------------------------- */

static void take_mapping(const struct mappings *mappings, const struct mapping_record *record)
{
	char hex[2 * BUILD_ID_MAX + 1] = "";
	bool has_id = record->header.misc & PERF_RECORD_MISC_MMAP_BUILD_ID &&
		      record->build_id_size <= BUILD_ID_MAX;

	if (!has_id && record->inode == 0)
		return;
	for (size_t i = 0; has_id && i < record->build_id_size; i++) {
		hex[2 * i] = "0123456789abcdef"[record->build_id[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[record->build_id[i] & 15];
	}
	mappings->receiver.on_mapping(mappings->receiver.userdata, (pid_t)record->pid,
				      has_id ? hex : NULL);
}

static void take_record(const struct mappings *mappings, const uint8_t *bytes, size_t size)
{
	struct mapping_record record = {};

	memcpy(&record, bytes, size < sizeof(record) ? size : sizeof(record));
	switch (record.header.type) {
	case PERF_RECORD_MMAP2:
		if (size >= sizeof(record))
			take_mapping(mappings, &record);
		break;
	case PERF_RECORD_LOST:
		mappings->receiver.on_loss(mappings->receiver.userdata);
		break;
	}
}

static void copy_from(const struct ring *ring, uint64_t at, uint8_t *to, size_t size)
{
	const uint8_t *records = (const uint8_t *)ring->page + ring->mappings->page_size;
	uint64_t mask = RING_PAGES * ring->mappings->page_size - 1;

	for (size_t i = 0; i < size; i++)
		to[i] = records[(at + i) & mask];
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	const struct ring *ring = userdata;
	/* Pairs with the kernel's barriers, see struct perf_event_mmap_page. */
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t at = ring->page->data_tail;
	uint8_t bytes[RECORD_MAX];

	while (at < head) {
		struct perf_event_header header;

		copy_from(ring, at, (uint8_t *)&header, sizeof(header));
		if (header.size < sizeof(header)) {
			at = head; /* not by a kernel that we know */
			break;
		}
		if (header.size <= sizeof(bytes)) {
			copy_from(ring, at, bytes, header.size);
			take_record(ring->mappings, bytes, header.size);
		}
		at += header.size;
	}
	__atomic_store_n(&ring->page->data_tail, at, __ATOMIC_RELEASE);
	return 0;
}

/* --- life -------------------------------------------------------------------------------------- */

static void close_ring(struct ring *ring)
{
	sd_event_source_disable_unref(ring->source);
	if (ring->page)
		(void)munmap(ring->page, (RING_PAGES + 1) * ring->mappings->page_size);
	closep(&ring->fd);
}

void mappings_free(struct mappings *mappings)
{
	if (!mappings)
		return;
	for (size_t i = 0; i < mappings->nr; i++)
		close_ring(&mappings->rings[i]);
	free(mappings->rings);
	free(mappings);
}

static int open_event(int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1, /* executable ones; .mmap_data would be the others */
		.mmap2 = 1,
		.build_id = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Return: 1, 0 when there is no such CPU now, or the errno. */
static int open_ring(struct mappings *mappings, sd_event *event, int cpu)
{
	struct ring *ring = &mappings->rings[mappings->nr];
	void *page;
	int r;

	r = open_event(cpu);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	*ring = (struct ring){ .mappings = mappings, .fd = r };
	mappings->nr++; /* from here on it is closed with the others */
	page = mmap(NULL, (RING_PAGES + 1) * mappings->page_size, PROT_READ | PROT_WRITE,
		    MAP_SHARED, ring->fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	ring->page = page;
	r = sd_event_add_io(event, &ring->source, ring->fd, EPOLLIN, on_readable, ring);
	return r < 0 ? r : 1;
}

int mappings_new(sd_event *event, const struct mappings_receiver *receiver, struct mappings **ret)
{
	struct mappings *mappings = calloc(1, sizeof(*mappings));
	int nr_cpus = get_nprocs_conf();
	int r = 0;

	if (!mappings)
		return -ENOMEM;
	mappings->receiver = *receiver;
	mappings->page_size = (size_t)sysconf(_SC_PAGESIZE);
	mappings->rings = calloc((size_t)nr_cpus, sizeof(*mappings->rings));
	if (!mappings->rings)
		r = -ENOMEM;
	for (int cpu = 0; cpu < nr_cpus && r >= 0; cpu++)
		r = open_ring(mappings, event, cpu);
	if (r >= 0 && mappings->nr == 0)
		r = -ENODEV;
	if (r < 0) {
		mappings_free(mappings);
		return r;
	}
	*ret = mappings;
	return 0;
}
