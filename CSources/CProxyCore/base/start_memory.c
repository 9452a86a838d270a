// Program pages that only the start needed. A start reads a configuration and the command line once, and the runtime looks through
// all its type records meanwhile; every page touched, and the 15 around it (fault-around), stays mapped and counts for this
// process until somebody unmaps it. They are clean pages of files: what is needed again is mapped again from the page cache, at
// about 0.5 µs for 16 pages.
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/px_base.h"

// A debugger's breakpoints are private copies of such pages, and would be lost.
static bool is_traced(void) {
    char line[128];
    bool traced = true;  // where it cannot be told
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return true;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "TracerPid:", 10) == 0) traced = strcmp(line, "TracerPid:\t0\n") != 0;
    }
    fclose(file);
    return traced;
}

// Relocations within read-only segments would be lost as well; no program or library of ours has any, but then we checked.
static bool has_text_relocations(const struct dl_phdr_info *object) {
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL))) return true;
        }
    }
    return false;
}

static int release_object(struct dl_phdr_info *object, size_t size, void *context) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (has_text_relocations(object)) return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        uintptr_t begin = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1), end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);  // the vDSO refuses, which is as well
    }
    return 0;
}

void px_start_memory_release(void) {
    if (!is_traced()) (void)dl_iterate_phdr(release_object, NULL);
}
