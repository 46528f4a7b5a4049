#pragma once
#include <stddef.h>
#include <stdint.h>

// usrsctp for associations whose packets go through DTLS (RFC 8261), driven by its caller.
//
// A target with a source file and not a module of usrsctp.h: that header would bring the declarations of netinet/in.h a second time. All
// calls have to come from one thread; callbacks come within them.

// Numbers of an association; see SCTPLimits.
struct tributary_sctp_settings {
    uint16_t local_port;
    uint16_t streams;
    uint32_t path_mtu;
    int send_buffer_bytes;
    int receive_buffer_bytes;
    uint32_t rto_initial_ms;
    uint32_t rto_min_ms;
    uint32_t rto_max_ms;
    uint32_t delayed_ack_ms;
};

enum tributary_sctp_change {
    TRIBUTARY_SCTP_UP,
    TRIBUTARY_SCTP_DOWN,
};

struct tributary_sctp_callbacks {
    // A packet for the peer.
    void (*output)(uintptr_t peer, const void *packet, size_t count);
    // A message or a part of one; the last part ends it.
    void (*message)(uintptr_t peer, uint16_t stream, uint32_t payload, const void *bytes, size_t count, int is_end);
    void (*change)(uintptr_t peer, enum tributary_sctp_change change);
    // The peer closed its half of a stream (RFC 6525).
    void (*reset)(uintptr_t peer, uint16_t stream);
};

enum tributary_sctp_reliability {
    TRIBUTARY_SCTP_RELIABLE,
    // The value is a number of retransmissions.
    TRIBUTARY_SCTP_LIMITED_RETRANSMISSIONS,
    // The value is a time in ms.
    TRIBUTARY_SCTP_LIMITED_TIME,
};

enum tributary_sctp_outcome {
    TRIBUTARY_SCTP_SENT,
    TRIBUTARY_SCTP_FULL,
    TRIBUTARY_SCTP_REFUSED,
};

struct socket;

// Sets the library up, once for the process.
void tributary_sctp_start(struct tributary_sctp_settings settings, struct tributary_sctp_callbacks callbacks);
// Begins an association with a peer; `peer` is any number but 0. Null when that fails.
struct socket *tributary_sctp_open(uintptr_t peer, uint16_t peer_port);
// Feeds a packet of the peer.
void tributary_sctp_input(uintptr_t peer, const void *packet, size_t count);
enum tributary_sctp_outcome tributary_sctp_send(
    struct socket *socket, const void *bytes, size_t count, uint16_t stream, uint32_t payload, int is_ordered,
    enum tributary_sctp_reliability reliability, uint32_t value);
// Closes our half of a stream (RFC 6525 section 4.1).
void tributary_sctp_reset(struct socket *socket, uint16_t stream);
// Ends with an ABORT and frees everything; the socket is no longer valid.
void tributary_sctp_abort(struct socket *socket, uintptr_t peer);
// Lets time pass.
void tributary_sctp_advance(uint32_t elapsed_ms);
