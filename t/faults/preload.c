/*
 * Stands between nginx and the C library, and fails as the test wants: memory, clock and disk.
 *
 * What is wanted stands in a file of words that the test writes (Test::Faults); its path is in the
 * environment when nginx starts, and workers inherit the mapping.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct wanted {
    volatile int64_t  memory_pid;        /* whose event loop runs out of memory; 0 is nobody's */
    volatile int64_t  memory_countdown;  /* at the allocation that makes it 0 */
    volatile int64_t  memory_failed;
    volatile int64_t  memory_of;         /* 1: allocations of the module, 0: all others */
    volatile int64_t  clock;             /* seconds that are added to the time of day */
    volatile int64_t  disk;              /* 1: no space left for what lies in a directory "db" */
    volatile int64_t  disk_failed;
    volatile int64_t  unused;
};

extern void  *__libc_malloc(size_t);
extern void  *__libc_calloc(size_t, size_t);
extern void  *__libc_realloc(void *, size_t);
extern void  *__libc_memalign(size_t, size_t);

static struct wanted  *wanted;
static uintptr_t       module_start, module_end;


__attribute__((constructor))
static void
map_wanted(void)
{
    int          fd;
    void        *p;
    const char  *path;

    path = getenv("STAGEDOOR_TEST_PRELOAD");
    fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(struct wanted), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) {
        wanted = p;
    }
}


static int
find_module(struct dl_phdr_info *info, size_t size, void *data)
{
    int        i;
    uintptr_t  end;

    (void) size;
    (void) data;

    if (strstr(info->dlpi_name, "ngx_stagedoor_module.so") == NULL) {
        return 0;
    }

    module_start = info->dlpi_addr;
    for (i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
            module_end = end > module_end ? end : module_end;
        }
    }

    return 1;
}


/* only in the event loop: its thread has the process's own number */
static int
fails(void *caller)
{
    int        is_module;
    pid_t      pid;

    if (wanted == NULL || wanted->memory_pid == 0) {
        return 0;
    }

    pid = getpid();
    if (wanted->memory_pid != pid || syscall(SYS_gettid) != pid) {
        return 0;
    }

    if (module_end == 0) {
        dl_iterate_phdr(find_module, NULL);
    }

    is_module = (uintptr_t) caller >= module_start && (uintptr_t) caller < module_end;
    if (wanted->memory_of != is_module || --wanted->memory_countdown != 0) {
        return 0;
    }

    wanted->memory_pid = 0;
    wanted->memory_failed++;
    return 1;
}


void *
malloc(size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }

    return __libc_malloc(size);
}


void *
calloc(size_t n, size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }

    return __libc_calloc(n, size);
}


void *
realloc(void *p, size_t size)
{
    if (fails(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }

    return __libc_realloc(p, size);
}


int
posix_memalign(void **p, size_t alignment, size_t size)
{
    if (fails(__builtin_return_address(0))) {
        return ENOMEM;
    }

    *p = __libc_memalign(alignment, size);
    return *p ? 0 : ENOMEM;
}


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = (int) syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && wanted && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += wanted->clock;
    }

    return rc;
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    int  rc;

    rc = (int) syscall(SYS_gettimeofday, tv, tz);
    if (rc == 0 && wanted) {
        tv->tv_sec += wanted->clock;
    }

    return rc;
}


time_t
time(time_t *t)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (t) {
        *t = ts.tv_sec;
    }

    return ts.tv_sec;
}


static int
is_full(int fd)
{
    char     link[64], path[4096];
    ssize_t  n;

    if (wanted == NULL || wanted->disk == 0) {
        return 0;
    }

    snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0) {
        return 0;
    }

    path[n] = '\0';
    if (strstr(path, "/db/") == NULL) {
        return 0;
    }

    wanted->disk_failed++;
    errno = ENOSPC;
    return 1;
}


ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return is_full(fd) ? -1 : (ssize_t) syscall(SYS_pwrite64, fd, data, size, at);
}


ssize_t
pwrite(int fd, const void *data, size_t size, off_t at)
{
    return is_full(fd) ? -1 : (ssize_t) syscall(SYS_pwrite64, fd, data, size, at);
}


int
ftruncate64(int fd, off64_t size)
{
    return is_full(fd) ? -1 : (int) syscall(SYS_ftruncate, fd, size);
}


int
posix_fallocate64(int fd, off64_t at, off64_t size)
{
    return is_full(fd) ? ENOSPC : (int) (syscall(SYS_fallocate, fd, 0, at, size) ? errno : 0);
}
