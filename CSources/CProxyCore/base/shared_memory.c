// Shared memory as sealed memfds: nothing in /dev/shm, so nothing is left behind by a crash and containers need no shared
// mount; size fixed by seals, so a peer cannot make a mapping fault by truncating it.
//
// A failure names what a person can change: the size asked for and the limit that was hit. RLIMIT_FSIZE is looked at first,
// because ftruncate() beyond it does not only fail: it raises SIGXFSZ, which ends the process.
//
// Threads: any; no state.
#include "base/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log_ring.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010  // Linux 5.1
#endif

enum { SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

static int seals_for(enum px_shared_memory_access access) {
    return access == PX_SHARED_READ_ONLY ? SIZE_SEALS | F_SEAL_FUTURE_WRITE : SIZE_SEALS;
}

static long long memory_available_kib(void) {
    char line[128];
    long long kib = -1;
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1) break;
    fclose(file);
    return kib;
}

// "NAME (RLIMIT_X) is N bytes", or nothing when the limit is off.
static size_t print_limit(char *text, size_t size, int resource, const char *name) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
    int n = snprintf(text, size, "%s is %llu", name, (unsigned long long)limit.rlim_cur);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

static void print_limit_of(char *text, size_t size, int code) {
    size_t n = 0;
    if (code == -EMFILE) n = print_limit(text, size, RLIMIT_NOFILE, "descriptor limit (RLIMIT_NOFILE)");
    if (code == -EFBIG) n = print_limit(text, size, RLIMIT_FSIZE, "file size limit (RLIMIT_FSIZE)");
    if (code == -ENOMEM) n = print_limit(text, size, RLIMIT_AS, "address space limit (RLIMIT_AS)");
    if (n > 0) return;
    long long kib = memory_available_kib();
    if (code == -ENFILE) snprintf(text, size, "system-wide descriptor limit (fs.file-max) reached");
    else if (kib >= 0) snprintf(text, size, "memory available is %lld KiB (MemAvailable)", kib);
    else snprintf(text, size, "no limit found");
}

static int fail(struct px_detail *detail, int code, const char *call, const char *name, size_t bytes) {
    char limit[160] = "";
    print_limit_of(limit, sizeof limit, code);
    return px_fail(detail, code, call, name, "asked for %zu bytes; %s", bytes, limit);
}

static bool exceeds_file_size_limit(size_t bytes) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur;
}

// Pages now, not at first touch: a lack of memory is an error here and would be SIGBUS there. In steps, because before
// Linux 6.10 a signal makes shmem_fallocate (mm/shmem.c) give up and free what it had: a large block would never be done.
static int allocate_pages(int fd, size_t bytes) {
    const size_t step = 1 << 20;
    for (size_t at = 0; at < bytes;) {
        size_t length = bytes - at < step ? bytes - at : step;
        if (fallocate(fd, 0, (off_t)at, (off_t)length) == 0) at += length;
        else if (errno != EINTR) return -1;
    }
    return 0;
}

int px__shared_memory_create(
    struct px_shared_memory *memory, const char *name, size_t bytes, enum px_shared_memory_access access, struct px_detail *detail) {
    const char *call = "memfd_create";
    void *map = MAP_FAILED;
    int code;
    int fd = px__fault_fails("memfd_create") ? -1 : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return fail(detail, -errno, call, name, bytes);
    call = "ftruncate";
    if (exceeds_file_size_limit(bytes)) {
        code = fail(detail, -EFBIG, call, name, bytes);
        goto close_fd;
    }
    if (px__fault_fails("ftruncate") || ftruncate(fd, (off_t)bytes) < 0) goto failed;
    call = "fallocate";
    if (allocate_pages(fd, bytes) < 0) goto failed;
    call = "mmap";
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) goto failed;
    call = "fcntl(F_ADD_SEALS)";
    if (fcntl(fd, F_ADD_SEALS, seals_for(access) | F_SEAL_SEAL) < 0) goto failed;
    *memory = (struct px_shared_memory){.map = map, .bytes = bytes, .fd = fd};
    return 0;

failed:
    code = fail(detail, -errno, call, name, bytes);
    if (map != MAP_FAILED) munmap(map, bytes);
close_fd:
    close(fd);
    return code;
}

int px__shared_memory_attach(struct px_shared_memory *memory, int fd, const char *name, size_t least, size_t most,
    enum px_shared_memory_access access, struct px_detail *detail) {
    struct stat status;
    int wanted = seals_for(access);
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) return px_fail(detail, -PX_E_INCOMPATIBLE, "fcntl(F_GET_SEALS)", name, "not a memory file: %s", strerror(errno));
    if ((seals & wanted) != wanted)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "fcntl(F_GET_SEALS)", name, "seals are %#x, wanted %#x", seals, wanted);
    if (access == PX_SHARED_WRITABLE && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        return px_fail(detail, -PX_E_INCOMPATIBLE, "fcntl(F_GET_SEALS)", name, "seals are %#x: it cannot be written", seals);
    if (fstat(fd, &status) < 0) return px_fail(detail, -errno, "fstat", name, "%s", "");
    if (status.st_size < 0 || (size_t)status.st_size < least || (size_t)status.st_size > most)
        return px_fail(detail, -PX_E_INCOMPATIBLE, "fstat", name, "size is %lld, wanted %zu to %zu", (long long)status.st_size, least, most);
    size_t bytes = (size_t)status.st_size;
    int protection = access == PX_SHARED_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    void *map = px__fault_fails("mmap") ? MAP_FAILED : mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return fail(detail, -errno, "mmap", name, bytes);
    *memory = (struct px_shared_memory){.map = map, .bytes = bytes, .fd = fd};
    return 0;
}

void px__shared_memory_detach(struct px_shared_memory *memory) {
    munmap(memory->map, memory->bytes);
    close(memory->fd);
    *memory = (struct px_shared_memory){.fd = -1};
}
