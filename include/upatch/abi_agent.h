/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_ABI_AGENT_H
#define UPATCH_ABI_AGENT_H

/*
 * What the host and the agent, which runs inside the target, have between them: the agent's head and
 * data, and the templates from which it makes payloads for libraries that come. See <upatch/abi.h>.
 */

#include <upatch/abi.h>

#define UPATCH_TEMPLATE_MAGIC "upatchTM"
#define UPATCH_AGENT_MAGIC "upatchAG"

/* --- templates ------------------------------------------------------------------------------------ */

/*
 * A payload and an island that are complete but for where they, their object and other objects'
 * symbols are. Made by the host when the patch is applied; the agent makes a copy for each copy of
 * the library that comes. Offsets count from the template's start, unless said otherwise.
 */

enum upatch_fixup_type {
	UPATCH_FIXUP_64 = 1, /* symbol + addend */
	UPATCH_FIXUP_32,     /* the same, zero-extended */
	UPATCH_FIXUP_32S,    /* the same, sign-extended */
	UPATCH_FIXUP_PC32,   /* symbol + addend - place */
	UPATCH_FIXUP_PC64,
	UPATCH_FIXUP_TLS_MODULE, /* module ID, 64 bits */
	UPATCH_FIXUP_TLS_OFFSET, /* offset in the module's block + addend, 64 bits */
	UPATCH_FIXUP_TLS_OFFSET32,
	UPATCH_FIXUP_TP_OFFSET, /* offset from the thread pointer + addend, 64 bits */
	UPATCH_FIXUP_TP_OFFSET32,
};

/* @offset: of the place, in the payload */
struct upatch_fixup {
	uint32_t offset;
	uint32_t type;
	uint32_t symbol; /* index */
	uint32_t reserved;
	int64_t addend;
};

enum upatch_template_symbol_kind {
	UPATCH_SYMBOL_ABSOLUTE = 1, /* @value */
	UPATCH_SYMBOL_PAYLOAD,	    /* @value: offset in the payload */
	UPATCH_SYMBOL_OBJECT, /* @value: link-time address in the object, or offset in its TLS block */
	UPATCH_SYMBOL_GATEWAY, /* @value: index of the function whose old code it is */
	UPATCH_SYMBOL_EXTERN,  /* @name, @version, found as the dynamic linker would */
};

enum upatch_template_symbol_flags {
	UPATCH_SYMBOL_WEAK = 1, /* may stay 0 */
	UPATCH_SYMBOL_TLS = 2,
};

/* @version: 0 for the default */
struct upatch_template_symbol {
	uint64_t value;
	uint32_t name; /* offset of a string */
	uint32_t version;
	uint32_t kind;
	uint32_t flags;
};

enum {
	UPATCH_DISPS_MAX = UPATCH_INSNS_MAX + 1,
};

/*
 * @first_range: in link-time addresses
 * @new_offset: in the payload
 * @slot: as it will be, but that func_addr and entry_addr are link-time addresses, text_addr counts from
 *	  the island's start, and the jump is one from the link-time address to island_base
 * @jump_disp: offset in the jump of the 32 bits that depend on the distance
 * @disps: offsets in the gateway of those that do, in the opposite sense
 */
struct upatch_template_func {
	uint32_t name; /* offset of a string */
	uint32_t sympos;
	uint32_t first_range;
	uint32_t nr_ranges;
	uint64_t old_size;
	uint32_t new_offset;
	uint32_t new_size;
	struct upatch_slot slot;
	uint8_t jump_disp;
	uint8_t nr_disps;
	uint8_t disps[UPATCH_DISPS_MAX];
	uint8_t reserved[5];
};

/*
 * @payload_base, @island_base: where the bytes belong as they are
 * @payload_stored: bytes at @payload_offset; the rest of @payload_size is zero
 * @callbacks, @callback_arg, @states, @eh_frame, @eh_frame_hdr, @frame_object: offsets in the payload,
 *		    0: none
 * @island_text: offset of the slots' code
 */
struct upatch_template {
	uint8_t magic[8];
	uint32_t version;
	uint32_t size;
	uint32_t name; /* offset of a string */
	uint32_t build_id_size;
	uint8_t build_id[UPATCH_BUILD_ID_SIZE];
	uint64_t payload_base;
	uint64_t payload_size;
	uint32_t payload_offset;
	uint32_t payload_stored;
	uint32_t text_size;
	uint32_t ro_size;
	uint32_t callbacks[UPATCH_CALLBACKS];
	uint32_t callback_arg;
	uint32_t states;
	uint32_t nr_states;
	uint32_t eh_frame;
	uint32_t eh_frame_hdr;
	uint32_t eh_frame_hdr_size;
	uint32_t frame_object;
	uint32_t reserved;
	uint64_t island_base;
	uint32_t island_text;
	uint32_t island_text_size;
	uint32_t island_ro_size;
	uint32_t slot_text_size; /* of one slot, and where its parts are */
	uint32_t slot_stub;
	uint32_t slot_dispatcher;
	uint32_t slot_gateway;
	uint32_t nr_fixups;
	uint32_t fixups_offset;
	uint32_t nr_symbols;
	uint32_t symbols_offset;
	uint32_t nr_funcs;
	uint32_t funcs_offset;
	uint32_t nr_ranges;
	uint32_t ranges_offset;
	uint32_t strings_offset;
	uint32_t strings_size; /* the last byte is 0 */
};

/* --- agent --------------------------------------------------------------------------------------- */

enum {
	UPATCH_AGENT_VERSION = 3,
	UPATCH_AGENT_EXPORTS_MAX = 16,
	UPATCH_AGENT_NAME_SIZE = 32,
};

/* A function for payloads to call, when its name begins with upatch_, or for the host. */
struct upatch_agent_export {
	char name[UPATCH_AGENT_NAME_SIZE];
	uint32_t offset;
};

/*
 * At the start of the agent's text. Sizes are multiples of a page, offsets count from here.
 *
 * @data_size: of the rw- part, which follows the text and begins with struct upatch_agent_data
 * @fork_offset: of the pages that a forked child must find zeroed: madvise(2), MADV_WIPEONFORK
 */
struct upatch_agent {
	uint8_t magic[8];
	uint32_t version;
	uint32_t text_size;
	uint32_t data_size;
	uint32_t fork_offset;
	uint32_t fork_size;
	uint32_t eh_frame_hdr_offset;
	uint32_t eh_frame_hdr_size;
	uint32_t nr_exports;
	struct upatch_agent_export exports[UPATCH_AGENT_EXPORTS_MAX];
};

/* Why the agent refused to let a library be loaded. */
enum upatch_refused {
	UPATCH_REFUSED_BUILD_ID = 1, /* the patch requires another build */
	UPATCH_REFUSED_NO_ROOM,
	UPATCH_REFUSED_BYTES, /* a function's entry is not what it should be */
	UPATCH_REFUSED_UNRESOLVED,
	UPATCH_REFUSED_TLS,
	UPATCH_REFUSED_RANGE,
	UPATCH_REFUSED_CALLBACK, /* pre-patch returned @error */
	UPATCH_REFUSED_WRITE,	 /* the process may not make or write code: @error */
	UPATCH_REFUSED_FULL,	 /* more copies of it than UPATCH_COPIES_MAX, or no free region */
};

enum upatch_event_kind {
	UPATCH_EVENT_COMING = 1,  /* the patch is being applied to an object that comes */
	UPATCH_EVENT_GOING,	  /* and taken from one that goes */
	UPATCH_EVENT_CALLBACK,	  /* @error: enum upatch_callback_kind */
	UPATCH_EVENT_REFUSED,	  /* @reason */
	UPATCH_EVENT_UNPATCHED,	  /* likewise, and it is loaded all the same */
	UPATCH_EVENT_FAILED,	  /* likewise, while the patch was applied */
	UPATCH_EVENT_TRAPPED,	  /* @detail of the object was called, which is not loaded */
	UPATCH_EVENT_OTHER_BUILD, /* an object of the name came in another build: left alone */
};

/* What the agent did. @when: CLOCK_REALTIME, seconds */
struct upatch_event {
	uint64_t number; /* from 1 */
	int64_t when;
	uint64_t seq; /* of the patch */
	uint32_t kind;
	uint32_t reason; /* enum upatch_refused */
	int32_t error;
	uint32_t reserved;
	char object[UPATCH_NAME_SIZE];
	char detail[UPATCH_NAME_SIZE]; /* name of a function or symbol */
};

enum {
	UPATCH_EVENTS_MAX = 64,
	UPATCH_LATE_MAX = 64, /* as many traps are there */
	UPATCH_LATE_OBJECT = 64,
	UPATCH_LATE_NAME = 128,
	UPATCH_TRAP_SIZE = 16, /* bytes of code of each, from the agent's "dl_traps" on */
};

/*
 * A symbol of a library that may come and go, which a payload of another object refers to. As long as the
 * library is not there its word leads to the n-th trap.
 * @seq: of the patch, 0: this one is free. Written last, and cleared first.
 * @word: in the payload's GOT
 */
struct upatch_late {
	uint64_t seq;
	uint64_t word;
	char object[UPATCH_LATE_OBJECT];
	char name[UPATCH_LATE_NAME];
};

/*
 * What the host and the agent tell each other.
 *
 * @record_addr: written by the host before the first call
 * @nr_shadows: number of shadow variables: while there are any, the agent stays
 *
 * All below is for dlopen and dlclose:
 * @generation: grows with each change that the agent makes to the record or in its objects
 * @r_debug_addr: struct r_debug of the first namespace
 * @catch_gateway, @brk_gateway: how the hooked functions go on
 * @signal_error_addr: glibc's _dl_signal_error; 0: nothing can be refused
 * @tls_module_offset, @tls_offset_offset: in the dynamic linker's struct link_map, 0: not known
 * @last_event: number of the newest one; @seen_event: of the last one that the host reported
 * @may_not_open: a seccomp filter is in the way: protections are changed without /proc/self/mem being tried
 */
struct upatch_agent_data {
	uint64_t record_addr;
	uint64_t nr_shadows;
	uint64_t generation;
	uint64_t r_debug_addr;
	uint64_t catch_gateway;
	uint64_t brk_gateway;
	uint64_t signal_error_addr;
	uint32_t tls_module_offset;
	uint32_t tls_offset_offset;
	uint64_t last_event;
	uint64_t seen_event;
	uint64_t armed; /* how often the hooks were */
	uint64_t may_not_open;
	struct upatch_late late[UPATCH_LATE_MAX];      /* the n-th has the n-th trap */
	struct upatch_event events[UPATCH_EVENTS_MAX]; /* by number modulo UPATCH_EVENTS_MAX */
};

/*
 * At @fork_offset of the agent.
 * @lock: of whoever changes shadow variables. 0: free, 1: held, 2: held and waited for
 * @dl_lock: of whoever changes the record; @dl_owner: its TID while it is held
 */
struct upatch_agent_fork {
	uint32_t lock;
	uint32_t owner; /* TID, 0: none */
	uint32_t readers[2];
	uint32_t dl_lock;
	uint32_t dl_owner;
	uint32_t dl_depth;
	uint32_t reserved;
};

#endif
