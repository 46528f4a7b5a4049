#pragma once
/* No _GNU_SOURCE here: it changes fd_set, and the compiler then refuses this module beside Swift's own Glibc. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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
static inline size_t tributary_segment_control_bytes(void) { return CMSG_SPACE(sizeof(uint16_t)); }

/* One control message; returns the room it takes. */
static inline size_t tributary_write_control(void *control, int level, int type, const void *value, size_t count) {
    struct cmsghdr *header = (struct cmsghdr *)control;
    memset(header, 0, CMSG_SPACE(count));
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(count);
    memcpy(CMSG_DATA(header), value, count);
    return CMSG_SPACE(count);
}
static inline size_t tributary_write_segment_control(void *control, uint16_t size) {
    return tributary_write_control(control, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
}

/* Which of the machine's addresses a datagram came to, and is to leave from. struct in6_pktinfo is only shown with _GNU_SOURCE. */
struct tributary_own_address {
    uint64_t high, low; /* as 16 bytes in network order; IPv4 in its mapped form */
};
struct tributary_packet_info6 {
    struct tributary_own_address address;
    unsigned int interface;
};
static inline size_t tributary_own_address_control_bytes(void) { return CMSG_SPACE(sizeof(struct tributary_packet_info6)); }

static inline void tributary_want_own_address(int fd, int is_six) {
    int on = 1;
    setsockopt(fd, is_six ? IPPROTO_IPV6 : IPPROTO_IP, is_six ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof(on));
}

/* Whether the kernel told it. */
static inline int tributary_read_own_address(const struct msghdr *message, struct tributary_own_address *address) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR((struct msghdr *)message, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(address, CMSG_DATA(c), sizeof(*address));
            return 1;
        }
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            uint8_t mapped[16] = {[10] = 0xFF, [11] = 0xFF};
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(mapped + 12, &info.ipi_addr, 4);
            memcpy(address, mapped, sizeof(*address));
            return 1;
        }
    }
    return 0;
}

/* An IPv6 socket takes the mapped form, an IPv4 one its own. */
static inline size_t tributary_write_own_address_control(void *control, struct tributary_own_address address, int is_six) {
    if (is_six) {
        struct tributary_packet_info6 info = {.address = address, .interface = 0};
        return tributary_write_control(control, IPPROTO_IPV6, IPV6_PKTINFO, &info, 20);
    }
    struct in_pktinfo info = {.ipi_ifindex = 0};
    memcpy(&info.ipi_spec_dst, (const uint8_t *)&address + 12, 4);
    return tributary_write_control(control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

/* Some enumerators of glibc are imported with one type in one clean build and another in the next; these have one. */
static inline int tributary_sock_stream(void) { return SOCK_STREAM; }
static inline int tributary_no_signal(void) { return MSG_NOSIGNAL; }

/* accept4 is only shown with _GNU_SOURCE. */
static inline int tributary_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)syscall(SYS_accept4, fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Packets leave at once, and no more than `unsent` bytes of them wait in the kernel. */
static inline void tributary_prepare_stream(int fd, int unsent) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

/* Nanoseconds that never go back; one reading serves a whole batch. */
static inline uint64_t tributary_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* No core file of this process, written or piped: some handlers of piped ones don't look at the limit. The hard limit stays, so that
   programs started from here may raise theirs. */
static inline void tributary_forbid_core_dumps(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &limit);
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
/* Whether a core file could be written at all. */
static inline int tributary_is_dumpable(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}

/* Shows in top and gdb; the kernel keeps 15 characters. */
static inline void tributary_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/* The same for a thread that may not have begun to run. */
static inline void tributary_name_other_thread(pthread_t thread, const char *name) {
    extern int pthread_setname_np(pthread_t, const char *);
    pthread_setname_np(thread, name);
}

/* The nice value of the calling thread, which is what it belongs to on Linux. */
static inline int tributary_own_nice(void) { return getpriority(PRIO_PROCESS, 0); }

/* A thread, by its number in the system, gives way to those of nice values below; one that does so more is left alone. */
static inline void tributary_lower_priority_of(int thread, int nice) {
    if (getpriority(PRIO_PROCESS, (id_t)thread) < nice) setpriority(PRIO_PROCESS, (id_t)thread, nice);
}

/* The calling thread gets its turns sooner and shorter, `ns` each, as Linux 6.12 and later let any thread choose; others don't mind.
   One that was given another policy than the usual, as by chrt, keeps it. */
static inline void tributary_take_short_turns(uint64_t ns) {
    if (syscall(SYS_sched_getscheduler, 0) != 0) return;
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } wanted = {.size = 48, .nice = tributary_own_nice(), .runtime = ns};
    syscall(SYS_sched_setattr, 0, &wanted, 0);
}

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
