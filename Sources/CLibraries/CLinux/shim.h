#pragma once
/* No _GNU_SOURCE here: it changes fd_set, and the compiler then refuses this module beside Swift's own Glibc. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The new process inherits no descriptor from `first` on; Swift's Glibc does not show the call. */
static inline int tributary_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

/* Blocks of up to `block` bytes that were freed stay with the process for the next of their kind, up to `spare` bytes in each arena. */
static inline void tributary_keep_freed_memory(int block, int spare) {
    mallopt(M_MMAP_THRESHOLD, block);
    mallopt(M_TRIM_THRESHOLD, spare);
}

/* Gives whole pages of freed blocks back to the system, wherever in the heap they are. */
static inline void tributary_return_freed_memory(void) { malloc_trim(0); }

/* MAP_FAILED is a cast, which Swift doesn't import. */
static inline void *tributary_map_failed(void) { return MAP_FAILED; }

/* struct mmsghdr and its two calls, which the headers only show with _GNU_SOURCE. */
struct tributary_message {
    struct msghdr header;
    unsigned int count;
};
static inline int tributary_recvmmsg(int fd, struct tributary_message *messages, unsigned int count, int flags) {
    return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, (void *)0);
}
static inline int tributary_sendmmsg(int fd, struct tributary_message *messages, unsigned int count, int flags) {
    return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

/* One control message that tells the kernel to cut the payload into datagrams of `size` bytes (UDP_SEGMENT). */
#define TRIBUTARY_SEGMENT_CONTROL_BYTES CMSG_SPACE(sizeof(uint16_t))
static inline size_t tributary_segment_control_bytes(void) { return TRIBUTARY_SEGMENT_CONTROL_BYTES; }
static inline void tributary_write_segment_control(void *control, uint16_t size) {
    struct cmsghdr *header = (struct cmsghdr *)control;
    memset(header, 0, TRIBUTARY_SEGMENT_CONTROL_BYTES);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    memcpy(CMSG_DATA(header), &size, sizeof(size));
}

/* Nanoseconds that never go back; one reading serves a whole batch. */
static inline uint64_t tributary_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Shows in top and gdb; the kernel keeps 15 characters. */
static inline void tributary_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/* Nanoseconds since 1970. */
static inline uint64_t tributary_realtime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Opens a path beneath a directory, through no symbolic link, and only when nothing has to be read from a disk for it: EAGAIN else. */
static inline int tributary_open_cached(int directory, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

/* Has the kernel note when each datagram came (SO_TIMESTAMPNS). */
static inline int tributary_note_arrivals(int fd) {
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
}
#define TRIBUTARY_ARRIVAL_CONTROL_BYTES CMSG_SPACE(sizeof(struct timespec))
static inline size_t tributary_arrival_control_bytes(void) { return TRIBUTARY_ARRIVAL_CONTROL_BYTES; }
/* When a datagram came, in nanoseconds since 1970; 0 when the kernel didn't note it. */
static inline uint64_t tributary_arrival_ns(const struct msghdr *header) {
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_TIMESTAMPNS) return 0;
    struct timespec when;
    memcpy(&when, CMSG_DATA(control), sizeof(when));
    return (uint64_t)when.tv_sec * 1000000000ull + (uint64_t)when.tv_nsec;
}
