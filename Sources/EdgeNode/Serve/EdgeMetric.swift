import Program

/// Every metric of the edge node except those that all programs have (``SystemRoutes``).
enum EdgeMetric {
    static let prefix = "tributary_edge"

    static let redisConnected = gauge("redis_connected", "1 while the node's records are written to Redis, 0 while they are not.")

    static let streams = gauge("streams", "Streams that exist.")
    static let publishers = gauge("publishers", "Publishers that are connected or connecting.")
    static let viewers = gauge("viewers", "Viewers that are connected or connecting.")
    static let sessionsByState = gauge("sessions", "Sessions by role and connection state.")
    static let streamViewers = gauge("stream_viewers", "Viewers of a stream.")
    static let streamIn = counter("stream_received_bytes_total", "RTP bytes received from a stream's publishers.")
    static let streamOut = counter("stream_sent_bytes_total", "RTP bytes sent to a stream's viewers.")
    static let streamInPackets = counter("stream_received_packets_total", "RTP packets received from a stream's publishers.")
    static let streamOutPackets = counter("stream_sent_packets_total", "RTP packets sent to a stream's viewers.")
    static let publisherLost = gauge("publisher_lost_packets", "Packets that the present publisher's path has lost.")
    static let publisherRTT = gauge("publisher_rtt_seconds", "Round trip to the present publisher.")
    static let publisherKeyframeRequests = gauge(
        "publisher_keyframe_requests", "Keyframe requests sent to the present publisher.")
    static let viewersLost = gauge("viewers_lost_packets", "Packets that the present viewers of a stream report as lost.")
    static let viewersResent = gauge("viewers_resent_packets", "Packets resent to the present viewers of a stream.")
    static let viewersAvailable = gauge(
        "viewers_available_bits_per_second_min", "The least that the path of a stream's present viewers is thought to carry.")
    static let viewersByLayer = gauge("layer_viewers", "Viewers that are sent one of several layers.")

    static let cascades = gauge(
        "cascades", "Streams that this node fetches from others (pull) or gives to them (push), by state.")
    static let copies = gauge("copies", "Streams that come from another node, whichever of the two asked.")

    static let loopBusy = counter("loop_busy_seconds_total", "Time a media loop has worked.")
    static let loopUp = counter("loop_seconds_total", "Time a media loop has run.")
    static let loopReceived = counter("loop_received_datagrams_total", "Datagrams received.")
    static let loopSent = counter("loop_sent_datagrams_total", "Datagrams sent.")
    static let loopMessages = counter(
        "loop_sent_messages_total", "Messages handed to the kernel; one may hold several datagrams.")
    static let loopReceivedBytes = counter("loop_received_bytes_total", "Bytes of datagrams received.")
    static let loopSentBytes = counter("loop_sent_bytes_total", "Bytes of datagrams sent.")
    static let drops = counter("dropped_datagrams_total", "Datagrams dropped, by reason.")

    static let recordedStreams = gauge("recorded_streams", "Streams that are recorded or wait for their publisher.")
    static let recordings = gauge("recordings_active", "Recordings being written.")
    static let segments = counter("recorded_segments_total", "Segments finished.")
    static let segmentBytes = counter("recorded_bytes_total", "Bytes in finished segments.")
    static let recordingLost = counter("recorder_lost_packets_total", "RTP packets that were missing when their time came.")
    static let recordingDropped = counter(
        "recorder_dropped_frames_total", "Frames left out of recordings because packets were missing or malformed.")
    static let recordingOverflow = counter("recorder_overflowed_packets_total", "Packets that the recorder was too slow for.")
    static let recordingsRemoved = counter("recordings_removed_total", "Recordings removed because they were old enough.")
    static let recordingsPaused = gauge(
        "recordings_paused", "Streams that should be recorded and are not, because storage fails or is full.")
    static let hooksDelivered = counter("recorder_hooks_delivered_total", "Events that a hook took.")
    static let hooksFailed = counter("recorder_hooks_failed_total", "Events that a hook did not take, tried again or not.")
    static let hooksDropped = counter("recorder_hooks_dropped_total", "Events that were not tried because too many were waiting.")
    static let spoolBytes = gauge("spool_bytes", "Bytes of media that wait for the remote store.")
    static let spoolLimit = gauge("spool_limit_bytes", "Bytes of media that may wait; recording pauses when more would.")
    static let spoolObjects = gauge("spool_objects", "Objects that wait for the remote store.")
    static let spoolAge = gauge("spool_oldest_seconds", "How long the oldest of them has been waiting.")
    static let uploads = counter("uploads_total", "Objects that arrived in the remote store, manifests and journals included.")
    static let uploadBytes = counter("upload_bytes_total", "Bytes of them.")
    static let uploadManifestBytes = counter("upload_manifest_bytes_total", "Bytes of manifests and journals among them.")
    static let uploadsLost = counter("uploads_lost_total", "Objects that vanished from the spool before they were sent.")
    static let uploadFailures = counter("upload_failures_total", "Failed uploads, by reason; each is tried again.")
    static let uploadsDenied = gauge("uploads_denied", "1 while the remote store refuses this node, which takes a human to mend.")
    static let uploadLast = gauge("upload_last_timestamp_seconds", "When an object last arrived, Unix seconds.")
    static let storageErrors = counter("recorder_storage_errors_total", "Times the storage refused.")
    static let storageFree = gauge("recorder_storage_free_bytes", "Bytes free where recordings go.")

    private static func counter(_ name: String, _ help: String) -> Metric {
        .counter("\(prefix)_\(name)", help)
    }

    private static func gauge(_ name: String, _ help: String) -> Metric {
        .gauge("\(prefix)_\(name)", help)
    }
}
