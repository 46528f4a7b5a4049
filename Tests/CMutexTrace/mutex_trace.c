/*
 * Tells ThreadSanitizer of contended locks of Swift's Synchronization.Mutex.
 *
 * The uncontended path is inlined into instrumented code, so it is seen. The contended one sleeps in the kernel (futex, PI) inside the
 * runtime's library, which is not instrumented: every hand-over there would look like a race. These definitions take precedence over
 * the library's, name the edge and let the library do the work. Empty in any other build.
 */
#define _GNU_SOURCE
#include "mutex_trace.h"

#include <dlfcn.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SELF __attribute__((swift_context)) void *

extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);

typedef __attribute__((swiftcall)) void lock_slow(uint32_t thread, SELF mutex);
typedef __attribute__((swiftcall)) void unlock_slow(SELF mutex);

__attribute__((swiftcall)) void traced_lock(uint32_t thread, SELF mutex) __asm__(LOCK_SLOW);
__attribute__((swiftcall)) void traced_unlock(SELF mutex) __asm__(UNLOCK_SLOW);

__attribute__((swiftcall)) void traced_lock(uint32_t thread, SELF mutex) {
    ((lock_slow *)dlsym(RTLD_NEXT, LOCK_SLOW))(thread, mutex);
    __tsan_acquire(mutex);
}

__attribute__((swiftcall)) void traced_unlock(SELF mutex) {
    __tsan_release(mutex);
    ((unlock_slow *)dlsym(RTLD_NEXT, UNLOCK_SLOW))(mutex);
}

#endif
#endif
