#pragma once
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/// What a server gives to the library; the library's own start function is variadic, which Swift can't call.
struct CMicrohttpdSetup {
    int socket;
    unsigned int threads;
    unsigned int idle_seconds;
    unsigned int connections;
    size_t connection_memory;
    /// PEM texts; both or none. They are used while the daemon starts and while it runs.
    const char *certificate;
    const char *key;
    void *context;
    MHD_AcceptPolicyCallback accept;
    MHD_AccessHandlerCallback access;
    /// Sees the request target before the library changes it; what it returns becomes the request's context.
    void *(*target)(void *context, const char *target, struct MHD_Connection *connection);
    MHD_RequestCompletedCallback completed;
    MHD_NotifyConnectionCallback connection;
    void (*log)(void *context, const char *line);
};

static inline void cmicrohttpd_log(void *setup, const char *format, va_list arguments) {
    const struct CMicrohttpdSetup *self = (const struct CMicrohttpdSetup *)setup;
    char line[512];
    vsnprintf(line, sizeof line, format, arguments);
    self->log(self->context, line);
}

/// Targets are decoded by the router, once, so the library must leave them alone.
static inline size_t cmicrohttpd_keep(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    size_t count = 0;
    while (text[count] != 0) count++;
    return count;
}

/// `setup` must live as long as the daemon.
static inline struct MHD_Daemon *cmicrohttpd_start(struct CMicrohttpdSetup *setup) {
    unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem options[16];
    int count = 0;
#define CMICROHTTPD_OPTION(name, number, pointer) \
    options[count++] = (struct MHD_OptionItem){(name), (intptr_t)(number), (void *)(pointer)}
    // The logger comes first, so that complaints about the other options reach it.
    CMICROHTTPD_OPTION(MHD_OPTION_EXTERNAL_LOGGER, cmicrohttpd_log, setup);
    CMICROHTTPD_OPTION(MHD_OPTION_LISTEN_SOCKET, setup->socket, 0);
    if (setup->threads > 1) CMICROHTTPD_OPTION(MHD_OPTION_THREAD_POOL_SIZE, setup->threads, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_CONNECTION_TIMEOUT, setup->idle_seconds, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_CONNECTION_LIMIT, setup->connections, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_CONNECTION_MEMORY_LIMIT, setup->connection_memory, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_STRICT_FOR_CLIENT, 1, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_URI_LOG_CALLBACK, setup->target, setup->context);
    CMICROHTTPD_OPTION(MHD_OPTION_UNESCAPE_CALLBACK, cmicrohttpd_keep, 0);
    CMICROHTTPD_OPTION(MHD_OPTION_NOTIFY_COMPLETED, setup->completed, setup->context);
    CMICROHTTPD_OPTION(MHD_OPTION_NOTIFY_CONNECTION, setup->connection, setup->context);
    if (setup->certificate != 0 && setup->key != 0) {
        flags |= MHD_USE_TLS;
        CMICROHTTPD_OPTION(MHD_OPTION_HTTPS_MEM_CERT, 0, setup->certificate);
        CMICROHTTPD_OPTION(MHD_OPTION_HTTPS_MEM_KEY, 0, setup->key);
    }
    CMICROHTTPD_OPTION(MHD_OPTION_END, 0, 0);
#undef CMICROHTTPD_OPTION
    return MHD_start_daemon(
        flags, 0, setup->accept, setup->context, setup->access, setup->context, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static inline int cmicrohttpd_socket(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static inline const struct sockaddr *cmicrohttpd_address(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

/// Bytes of the request line and the header fields with their ends.
static inline size_t cmicrohttpd_header_bytes(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

/// What the connection callback stored for this connection.
static inline void *cmicrohttpd_socket_context(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static inline void cmicrohttpd_upgrade_close(struct MHD_UpgradeResponseHandle *handle) {
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/// What a content reader returns when there is no more; the library's macros hold casts.
static inline ssize_t cmicrohttpd_end(void) { return MHD_CONTENT_READER_END_OF_STREAM; }
static inline ssize_t cmicrohttpd_broken(void) { return MHD_CONTENT_READER_END_WITH_ERROR; }
static inline uint64_t cmicrohttpd_size_unknown(void) { return MHD_SIZE_UNKNOWN; }

static inline void cmicrohttpd_each_header(struct MHD_Connection *connection, MHD_KeyValueIteratorN body, void *context) {
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, body, context);
}

/// Copies the bytes.
static inline struct MHD_Response *cmicrohttpd_bytes(size_t count, const void *bytes) {
    return MHD_create_response_from_buffer(count, (void *)bytes, MHD_RESPMEM_MUST_COPY);
}

// The flags of these calls are macros over enumerators, which Swift attributes to a different module in each build.

static inline ssize_t cmicrohttpd_receive_now(int descriptor, void *bytes, size_t count) {
    return recv(descriptor, bytes, count, MSG_DONTWAIT);
}

static inline ssize_t cmicrohttpd_send_now(int descriptor, const void *bytes, size_t count, int more) {
    return send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

/// Reads what of a file is in memory already; fails rather than wait for a disk.
static inline ssize_t cmicrohttpd_read_cached(int descriptor, void *bytes, size_t count, long long position) {
    struct iovec part = {bytes, count};
    // The system call and the value of RWF_NOWAIT, since the C library shows both only with _GNU_SOURCE.
    return syscall(SYS_preadv2, descriptor, &part, 1, (long)position, 0L, 8);
}

/// Lets small segments go at once.
static inline void cmicrohttpd_no_delay(int descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// What the kernel tells of a connection, as far as we read it; the C library's part of the struct ends before the counters.
struct CMicrohttpdCounters {
    struct tcp_info known;
    uint64_t pacing, pacing_max, bytes_acked, bytes_received;
};
_Static_assert(sizeof(struct tcp_info) == 104, "the counters stand behind tcpi_total_retrans");

/// Bytes that the peer has sent so far, whoever has read them; 0 where the kernel doesn't tell.
static inline uint64_t cmicrohttpd_bytes_received(int descriptor) {
    struct CMicrohttpdCounters counters = {0};
    socklen_t count = sizeof counters;
    return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &counters, &count) == 0 ? counters.bytes_received : 0;
}

/// Says that no more will be sent.
static inline void cmicrohttpd_end_sending(int descriptor) { shutdown(descriptor, SHUT_WR); }

/// Ends both directions without closing.
static inline void cmicrohttpd_break(int descriptor) { shutdown(descriptor, SHUT_RDWR); }

static inline int cmicrohttpd_stream_socket(int family, int blocking) {
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
}
