/* Preloaded into a program: counts each thread's allocations in a file that others may read meanwhile, named by ALLOCATIONS.
   The file is a table of (thread id, count). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 1024 };
struct slot { uint64_t thread, count; };

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static struct slot nowhere, *table;
static atomic_int used;
static __thread struct slot *own __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void open_table(void) {
    const char *path = getenv("ALLOCATIONS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0 || ftruncate(file, THREADS * sizeof(struct slot))) return;
    void *map = mmap(NULL, THREADS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) table = map;
    close(file);
}

static void count(void) {
    if (!own) {
        if (!table) return;
        int place = atomic_fetch_add(&used, 1);
        own = place < THREADS ? table + place : &nowhere;
        own->thread = (uint64_t)syscall(SYS_gettid);
    }
    own->count++;
}

void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t items, size_t size) { count(); return __libc_calloc(items, size); }
void *realloc(void *old, size_t size) { count(); return __libc_realloc(old, size); }
