#include "include/csctp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <usrsctp.h>

static struct tributary_sctp_settings settings;
static struct tributary_sctp_callbacks callbacks;

static int output(void *peer, void *packet, size_t count, uint8_t service, uint8_t is_whole) {
    (void)service;
    (void)is_whole;
    callbacks.output((uintptr_t)peer, packet, count);
    return 0;
}

static void notice(uintptr_t peer, const union sctp_notification *notification, size_t count) {
    if (count < sizeof(notification->sn_header) || notification->sn_header.sn_length > count) return;
    switch (notification->sn_header.sn_type) {
    case SCTP_ASSOC_CHANGE:
        switch (notification->sn_assoc_change.sac_state) {
        case SCTP_COMM_UP:
        case SCTP_RESTART: callbacks.change(peer, TRIBUTARY_SCTP_UP); break;
        case SCTP_COMM_LOST:
        case SCTP_SHUTDOWN_COMP:
        case SCTP_CANT_STR_ASSOC: callbacks.change(peer, TRIBUTARY_SCTP_DOWN); break;
        default: break;
        }
        break;
    case SCTP_STREAM_RESET_EVENT: {
        const struct sctp_stream_reset_event *event = &notification->sn_strreset_event;
        if (!(event->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN) || event->strreset_length < sizeof(*event)) break;
        size_t streams = (event->strreset_length - sizeof(*event)) / sizeof(uint16_t);
        for (size_t index = 0; index < streams; index += 1) callbacks.reset(peer, event->strreset_stream_list[index]);
        break;
    }
    default: break;
    }
}

// usrsctp gives the bytes away. A null pointer says that the association is gone.
static int received(
    struct socket *socket, union sctp_sockstore address, void *data, size_t count, struct sctp_rcvinfo info, int flags, void *peer) {
    (void)socket;
    (void)address;
    if (!data) return 1;
    if (flags & MSG_NOTIFICATION) {
        notice((uintptr_t)peer, data, count);
    } else {
        callbacks.message((uintptr_t)peer, info.rcv_sid, ntohl(info.rcv_ppid), data, count, (flags & MSG_EOR) != 0);
    }
    free(data);
    return 1;
}

void tributary_sctp_start(struct tributary_sctp_settings wanted, struct tributary_sctp_callbacks called) {
    settings = wanted;
    callbacks = called;
    usrsctp_init_nothreads(0, output, NULL);
    // WebRTC uses none of these (RFC 8831 section 6.1), and code that strangers need not reach is code that cannot fail.
    usrsctp_sysctl_set_sctp_ecn_enable(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0);
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_pktdrop_enable(0);
    usrsctp_sysctl_set_sctp_nrsack_enable(0);
    // What belongs to no association is not answered.
    usrsctp_sysctl_set_sctp_blackhole(2);
    usrsctp_sysctl_set_sctp_rto_initial_default(settings.rto_initial_ms);
    usrsctp_sysctl_set_sctp_rto_min_default(settings.rto_min_ms);
    usrsctp_sysctl_set_sctp_rto_max_default(settings.rto_max_ms);
    usrsctp_sysctl_set_sctp_init_rto_max_default(settings.rto_max_ms);
    usrsctp_sysctl_set_sctp_delayed_sack_time_default(settings.delayed_ack_ms);
}

static void configure(struct socket *socket) {
    usrsctp_set_non_blocking(socket, 1);
    // Closing aborts: what a slow peer has not taken is given up.
    struct linger abortive = {.l_onoff = 1, .l_linger = 0};
    usrsctp_setsockopt(socket, SOL_SOCKET, SO_LINGER, &abortive, sizeof(abortive));
    usrsctp_setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &settings.send_buffer_bytes, sizeof(int));
    usrsctp_setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &settings.receive_buffer_bytes, sizeof(int));
    int on = 1;
    usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on));
    struct sctp_initmsg streams = {.sinit_num_ostreams = settings.streams, .sinit_max_instreams = settings.streams};
    usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_INITMSG, &streams, sizeof(streams));
    struct sctp_assoc_value reset = {.assoc_id = SCTP_ALL_ASSOC, .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ};
    usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &reset, sizeof(reset));
    const uint16_t events[] = {SCTP_ASSOC_CHANGE, SCTP_STREAM_RESET_EVENT};
    for (size_t index = 0; index < sizeof(events) / sizeof(events[0]); index += 1) {
        struct sctp_event event = {.se_assoc_id = SCTP_ALL_ASSOC, .se_type = events[index], .se_on = 1};
        usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event));
    }
    // ICE's consent tells whether the peer lives, and the size of a record is known.
    struct sctp_paddrparams path;
    memset(&path, 0, sizeof(path));
    path.spp_flags = SPP_HB_DISABLE | SPP_PMTUD_DISABLE;
    path.spp_pathmtu = settings.path_mtu;
    usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path));
}

// usrsctp knows a peer by a pointer that it never follows; ours is a number.
static struct sockaddr_conn address_of(uintptr_t peer, uint16_t port) {
    struct sockaddr_conn address;
    memset(&address, 0, sizeof(address));
    address.sconn_family = AF_CONN;
    address.sconn_port = htons(port);
    address.sconn_addr = (void *)peer;
    return address;
}

struct socket *tributary_sctp_open(uintptr_t peer, uint16_t peer_port) {
    struct socket *socket = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, received, NULL, 0, (void *)peer);
    if (!socket) return NULL;
    usrsctp_register_address((void *)peer);
    configure(socket);
    struct sockaddr_conn local = address_of(peer, settings.local_port), remote = address_of(peer, peer_port);
    if (usrsctp_bind(socket, (struct sockaddr *)&local, sizeof(local)) == 0
        && (usrsctp_connect(socket, (struct sockaddr *)&remote, sizeof(remote)) == 0 || errno == EINPROGRESS)) {
        return socket;
    }
    tributary_sctp_abort(socket, peer);
    return NULL;
}

void tributary_sctp_input(uintptr_t peer, const void *packet, size_t count) { usrsctp_conninput((void *)peer, packet, count, 0); }

enum tributary_sctp_outcome tributary_sctp_send(
    struct socket *socket, const void *bytes, size_t count, uint16_t stream, uint32_t payload, int is_ordered,
    enum tributary_sctp_reliability reliability, uint32_t value) {
    struct sctp_sendv_spa how;
    memset(&how, 0, sizeof(how));
    how.sendv_flags = SCTP_SEND_SNDINFO_VALID;
    how.sendv_sndinfo.snd_sid = stream;
    how.sendv_sndinfo.snd_ppid = htonl(payload);
    how.sendv_sndinfo.snd_flags = is_ordered ? 0 : SCTP_UNORDERED;
    if (reliability != TRIBUTARY_SCTP_RELIABLE) {
        how.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        how.sendv_prinfo.pr_policy = reliability == TRIBUTARY_SCTP_LIMITED_TIME ? SCTP_PR_SCTP_TTL : SCTP_PR_SCTP_RTX;
        how.sendv_prinfo.pr_value = value;
    }
    ssize_t sent = usrsctp_sendv(socket, bytes, count, NULL, 0, &how, sizeof(how), SCTP_SENDV_SPA, 0);
    if (sent >= 0) return TRIBUTARY_SCTP_SENT;
    return errno == EWOULDBLOCK || errno == ENOBUFS ? TRIBUTARY_SCTP_FULL : TRIBUTARY_SCTP_REFUSED;
}

void tributary_sctp_reset(struct socket *socket, uint16_t stream) {
    // The structure ends in a list.
    _Alignas(struct sctp_reset_streams) char room[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)];
    struct sctp_reset_streams *reset = (struct sctp_reset_streams *)room;
    memset(room, 0, sizeof(room));
    reset->srs_assoc_id = SCTP_ALL_ASSOC;
    reset->srs_flags = SCTP_STREAM_RESET_OUTGOING;
    reset->srs_number_streams = 1;
    reset->srs_stream_list[0] = stream;
    usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_RESET_STREAMS, reset, sizeof(room));
}

void tributary_sctp_abort(struct socket *socket, uintptr_t peer) {
    usrsctp_close(socket);
    usrsctp_deregister_address((void *)peer);
}

void tributary_sctp_advance(uint32_t elapsed_ms) { usrsctp_handle_timers(elapsed_ms); }
