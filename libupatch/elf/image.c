/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/image.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/file.h"
#include "elf/eh_frame.h"
#include "elf/image_private.h"

enum {
	PHDRS_MAX = 256,
	DYNAMIC_MAX = 4096,
};

DEFINE_CLEANUP(struct image *, image_unref);

/* --- headers --------------------------------------------------------------------------------- */

static int check_ehdr(struct image *im, struct diag *d)
{
	const Elf64_Ehdr *e = &im->ehdr;

	if (im->size < sizeof(*e) || memcmp(im->bytes, ELFMAG, SELFMAG) != 0)
		return diag_err(d, -ENOEXEC, UPATCH_E_NOT_ELF, NULL, "'%s' is not an ELF file",
				im->name);
	memcpy(&im->ehdr, im->bytes, sizeof(im->ehdr));
	if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB)
		return diag_err(d, -ENOEXEC, UPATCH_E_ARCHITECTURE, NULL,
				"'%s' is not a 64-bit little-endian ELF file", im->name);
	if (e->e_type != ET_EXEC && e->e_type != ET_DYN)
		return diag_err(d, -ENOEXEC, UPATCH_E_BAD_ELF, NULL,
				"'%s' is neither an executable nor a shared library", im->name);
	if (e->e_phentsize != sizeof(Elf64_Phdr) || !e->e_phnum || e->e_phnum > PHDRS_MAX ||
	    e->e_phoff > im->size || e->e_phnum * sizeof(Elf64_Phdr) > im->size - e->e_phoff)
		return diag_err(d, -ENOEXEC, UPATCH_E_BAD_ELF, NULL,
				"the program headers of '%s' are damaged or cut off", im->name);
	return 0;
}

static Elf64_Phdr read_phdr(const struct image *im, unsigned int n)
{
	Elf64_Phdr phdr;

	memcpy(&phdr, im->bytes + im->ehdr.e_phoff + n * sizeof(phdr), sizeof(phdr));
	return phdr;
}

/* A range of the file, NULL when it is not inside. */
static const uint8_t *file_range(const struct image *im, uint64_t offset, uint64_t size)
{
	if (offset > im->size || size > im->size - offset)
		return NULL;
	return im->bytes + offset;
}

static int add_segment(struct image *im, struct diag *d, const Elf64_Phdr *phdr)
{
	if (phdr->p_filesz > phdr->p_memsz || phdr->p_vaddr + phdr->p_memsz < phdr->p_vaddr ||
	    !file_range(im, phdr->p_offset, phdr->p_filesz))
		return diag_err(d, -ENOEXEC, UPATCH_E_BAD_ELF, NULL,
				"a segment of '%s' lies outside of the file", im->name);
	if (!array_grow(im->segments, im->nr_segments, im->alloc_segments))
		return diag_oom(d);
	im->segments[im->nr_segments++] = (struct image_segment){
		.vaddr = phdr->p_vaddr,
		.memsz = phdr->p_memsz,
		.filesz = phdr->p_filesz,
		.offset = phdr->p_offset,
		.align = phdr->p_align,
		.flags = phdr->p_flags,
	};
	return 0;
}

static int parse_phdrs(struct image *im, struct diag *d)
{
	int r = 0;

	for (unsigned int i = 0; i < im->ehdr.e_phnum && r >= 0; i++) {
		Elf64_Phdr phdr = read_phdr(im, i);
		const uint8_t *notes;

		switch (phdr.p_type) {
		case PT_LOAD:
			r = add_segment(im, d, &phdr);
			break;
		case PT_NOTE:
			notes = file_range(im, phdr.p_offset, phdr.p_filesz);
			if (notes)
				build_id_from_notes(notes, phdr.p_filesz, phdr.p_align,
						    &im->build_id);
			break;
		case PT_INTERP:
			im->has_interp = true;
			break;
		case PT_DYNAMIC:
			im->dynamic = (struct image_range){ phdr.p_vaddr, phdr.p_filesz };
			break;
		case PT_GNU_EH_FRAME:
			im->eh_frame_hdr = (struct image_range){ phdr.p_vaddr, phdr.p_filesz };
			break;
		case PT_TLS:
			im->tls = (struct image_tls){
				.vaddr = phdr.p_vaddr,
				.filesz = phdr.p_filesz,
				.memsz = phdr.p_memsz,
				.align = phdr.p_align ? phdr.p_align : 1,
			};
			im->has_tls = true;
			break;
		}
	}
	return r;
}

/* --- life -------------------------------------------------------------------------------------- */

/* Takes over @bytes. */
static int open_owned(struct diag *d, uint8_t *bytes, size_t size, const char *name,
		      struct image **ret)
{
	_cleanup_(image_unrefp) struct image *im = calloc(1, sizeof(*im));
	int r;

	if (!im) {
		free(bytes);
		return diag_oom(d);
	}
	im->refs = 1;
	im->bytes = bytes;
	im->size = size;
	im->name = strdup(name);
	if (!im->name)
		return diag_oom(d);
	r = check_ehdr(im, d);
	if (r >= 0)
		r = parse_phdrs(im, d);
	if (r < 0)
		return r;
	if (!im->build_id.size)
		build_id_from_sections(im->bytes, im->size, &im->build_id);
	if (!im->nr_segments)
		return diag_err(d, -ENOEXEC, UPATCH_E_BAD_ELF, NULL, "'%s' has no segments to load",
				name);
	if (im->has_tls && (im->tls.align & (im->tls.align - 1)))
		return diag_err(d, -ENOEXEC, UPATCH_E_BAD_ELF, NULL,
				"the thread-local storage of '%s' has a bad alignment", name);
	*ret = take_ptr(im);
	return 0;
}

/* Where the file is, as far as this process can tell: a debug file may be near. proc(5). */
static char *path_of(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > 0 && (size_t)n < sizeof(path) ? strndup(path, (size_t)n) : NULL;
}

int image_open_fd(struct diag *d, int fd, const char *name, struct image **ret)
{
	uint8_t *bytes;
	size_t size;
	int r;

	r = file_read(d, fd,
		      &(struct file_spec){
			      .name = name,
			      .size_max = IMAGE_FILE_SIZE_MAX,
			      .too_large = UPATCH_E_UNSUPPORTED,
		      },
		      &bytes, &size);
	if (r >= 0)
		r = open_owned(d, bytes, size, name, ret);
	if (r >= 0)
		(*ret)->path = path_of(fd);
	return r;
}

int image_open_bytes(struct diag *d, const void *bytes, size_t size, const char *name,
		     struct image **ret)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return diag_oom(d);
	memcpy(copy, bytes, size);
	return open_owned(d, copy, size, name, ret);
}

struct image *image_ref(struct image *image)
{
	image->refs++;
	return image;
}

void image_unref(struct image *image)
{
	if (!image || --image->refs)
		return;
	symtab_free(image->symtab);
	free(image->fde_hdr);
	free(image->code);
	free(image->segments);
	free(image->bytes);
	free(image->path);
	free(image->name);
	free(image);
}

/* --- what it is ---------------------------------------------------------------------------- */

const char *image_name(const struct image *image)
{
	return image->name;
}

const struct build_id *image_build_id(const struct image *image)
{
	return &image->build_id;
}

uint16_t image_machine(const struct image *image)
{
	return image->ehdr.e_machine;
}

uint16_t image_type(const struct image *image)
{
	return image->ehdr.e_type;
}

uint64_t image_entry(const struct image *image)
{
	return image->ehdr.e_entry;
}

bool image_has_interp(const struct image *image)
{
	return image->has_interp;
}

size_t image_segments(const struct image *image, const struct image_segment **ret)
{
	*ret = image->segments;
	return image->nr_segments;
}

struct image_range image_extent(const struct image *image)
{
	uint64_t start = UINT64_MAX, end = 0;

	for (size_t i = 0; i < image->nr_segments; i++) {
		start = MIN(start, ALIGN_DOWN(image->segments[i].vaddr, (uint64_t)4096));
		end = MAX(end, image->segments[i].vaddr + image->segments[i].memsz);
	}
	return (struct image_range){ start, end - start };
}

const uint8_t *image_bytes(const struct image *image, uint64_t vaddr, size_t size)
{
	for (size_t i = 0; i < image->nr_segments; i++) {
		const struct image_segment *s = &image->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->filesz &&
		    size <= s->filesz - (vaddr - s->vaddr))
			return image->bytes + s->offset + (vaddr - s->vaddr);
	}
	return NULL;
}

bool image_eh_frame_hdr(const struct image *image, struct image_range *ret)
{
	if (!image->eh_frame_hdr.size)
		return false;
	*ret = image->eh_frame_hdr;
	return true;
}

/* .eh_frame by its section header; a file that was stripped of those has none. */
static bool find_eh_frame(const struct image *im, Elf64_Shdr *ret)
{
	const Elf64_Ehdr *e = &im->ehdr;
	const uint8_t *shdrs = file_range(im, e->e_shoff, (uint64_t)e->e_shnum * sizeof(*ret));
	Elf64_Shdr names;

	if (!shdrs || e->e_shentsize != sizeof(*ret) || e->e_shstrndx >= e->e_shnum)
		return false;
	memcpy(&names, shdrs + e->e_shstrndx * sizeof(names), sizeof(names));
	const uint8_t *strings = file_range(im, names.sh_offset, names.sh_size);

	for (unsigned int i = 0; strings && i < e->e_shnum; i++) {
		memcpy(ret, shdrs + i * sizeof(*ret), sizeof(*ret));
		if (ret->sh_name < names.sh_size &&
		    names.sh_size - ret->sh_name >= sizeof(".eh_frame") &&
		    memcmp(strings + ret->sh_name, ".eh_frame", sizeof(".eh_frame")) == 0)
			return file_range(im, ret->sh_offset, ret->sh_size) != NULL;
	}
	return false;
}

static bool make_fde_table(struct image *im)
{
	enum { HDR_SIZE = 12, ENTRY_SIZE = 8 };
	Elf64_Shdr shdr;
	int64_t size;

	if (!find_eh_frame(im, &shdr))
		return false;
	size = eh_frame_hdr_size(NULL, im->bytes + shdr.sh_offset, shdr.sh_size);
	if (size < HDR_SIZE)
		return false;
	im->fde_hdr = malloc((size_t)size);
	im->fde_table.base = image_extent(im).vaddr;
	if (!im->fde_hdr ||
	    eh_frame_hdr_build(NULL, im->bytes + shdr.sh_offset, shdr.sh_size, shdr.sh_addr,
			       im->fde_table.base, im->fde_hdr, (size_t)size) != size)
		return false;
	im->fde_table.entries = im->fde_hdr + HDR_SIZE;
	im->fde_table.nr = (size_t)(size - HDR_SIZE) / ENTRY_SIZE;
	return true;
}

bool image_fde_table(struct image *image, struct image_fde_table *ret)
{
	if (image->eh_frame_hdr.size || image->has_no_fde_table)
		return false;
	if (!image->fde_table.entries && !make_fde_table(image)) {
		image->has_no_fde_table = true;
		return false;
	}
	*ret = image->fde_table;
	return true;
}

bool image_code_at(struct image *image, uint64_t vaddr, struct image_range *ret)
{
	size_t lo = 0, hi;
	Elf64_Shdr shdr;

	if (!image->code && image->nr_code == 0)
		image->nr_code = find_eh_frame(image, &shdr)
					 ? eh_frame_ranges(image->bytes + shdr.sh_offset,
							   shdr.sh_size, shdr.sh_addr, &image->code)
					 : -1;
	if (image->nr_code <= 0)
		return false;
	for (hi = (size_t)image->nr_code; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (image->code[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || vaddr - image->code[lo - 1].start >= image->code[lo - 1].size)
		return false;
	*ret = (struct image_range){ image->code[lo - 1].start, image->code[lo - 1].size };
	return true;
}

bool image_tls(const struct image *image, struct image_tls *ret)
{
	if (!image->has_tls)
		return false;
	*ret = image->tls;
	return true;
}

bool image_dynamic(const struct image *image, struct image_range *ret)
{
	if (!image->dynamic.size)
		return false;
	*ret = image->dynamic;
	return true;
}

/* The @skip-th entry of a tag behind the first one. */
static bool find_dynamic(const struct image *image, int64_t tag, size_t skip, uint64_t *ret)
{
	Elf64_Dyn dyn;

	for (uint64_t i = 0; i < MIN(image->dynamic.size / sizeof(dyn), (uint64_t)DYNAMIC_MAX);
	     i++) {
		const uint8_t *bytes =
			image_bytes(image, image->dynamic.vaddr + i * sizeof(dyn), sizeof(dyn));

		if (!bytes)
			return false;
		memcpy(&dyn, bytes, sizeof(dyn));
		if (dyn.d_tag == DT_NULL)
			return false;
		if (dyn.d_tag == tag && !skip--) {
			*ret = dyn.d_un.d_val;
			return true;
		}
	}
	return false;
}

bool image_dynamic_tag(const struct image *image, int64_t tag, uint64_t *ret)
{
	return find_dynamic(image, tag, 0, ret);
}

static const char *dynamic_string(const struct image *image, uint64_t offset)
{
	uint64_t strtab, size;
	const uint8_t *bytes;

	if (!image_dynamic_tag(image, DT_STRTAB, &strtab) ||
	    !image_dynamic_tag(image, DT_STRSZ, &size) || offset >= size)
		return NULL;
	bytes = image_bytes(image, strtab, size);
	if (!bytes || !memchr(bytes + offset, '\0', size - offset))
		return NULL;
	return (const char *)bytes + offset;
}

const char *image_soname(const struct image *image)
{
	uint64_t offset;

	return image_dynamic_tag(image, DT_SONAME, &offset) ? dynamic_string(image, offset) : NULL;
}

const char *image_needed(const struct image *image, size_t index)
{
	uint64_t offset;

	return find_dynamic(image, DT_NEEDED, index, &offset) ? dynamic_string(image, offset)
							      : NULL;
}

bool image_is_executable(const struct image *image)
{
	uint64_t flags;

	if (image->ehdr.e_type == ET_EXEC)
		return true;
	if (image_dynamic_tag(image, DT_FLAGS_1, &flags) && flags & DF_1_PIE)
		return true;
	/* A library that can be run, as libc.so.6, has a name. */
	return image->has_interp && !image_soname(image);
}

int image_symtab(struct image *image, struct diag *d, const struct symtab **ret)
{
	int r;

	if (!image->symtab) {
		r = symtab_load(image, d, &image->symtab);
		if (r < 0)
			return r;
	}
	*ret = image->symtab;
	return 0;
}
