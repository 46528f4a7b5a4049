#include "allocations.h"
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TRIBUTARY_SANITIZED 1
#endif
#endif

#ifdef TRIBUTARY_SANITIZED
bool tributary_counts_allocations(void) { return false; }
uint64_t tributary_allocations(void) { return 0; }
#else
/* The test program's definitions take precedence over libc's, which still do the work. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static __thread uint64_t count;

void *malloc(size_t size) {
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
    count++;
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size) {
    count++;
    return __libc_realloc(old, size);
}

bool tributary_counts_allocations(void) { return true; }
uint64_t tributary_allocations(void) { return count; }
#endif
