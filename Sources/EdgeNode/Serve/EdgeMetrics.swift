import Cascade
import Cluster
import MediaPlane
import Program
import Record
import State
import Streams

/// What the node adds to `/metrics`; see ``EdgeMetric``.
struct EdgeMetrics {
    let registry: StreamRegistry
    let cascades: CascadeDesk
    let plane: MediaPlane
    let recorder: Recorder
    let state: StatePublisher?

    func add(to text: inout MetricText) async {
        if let state { text.add(EdgeMetric.redisConnected, state.status == .connected ? 1 : 0) }
        let snapshot = await plane.snapshot()
        await addStreams(&text, await registry.tallies())
        addSessions(&text, snapshot.sessions, names: await registry.namesByKey())
        await addCascades(&text)
        addLoops(&text, snapshot.loops)
        addRecordings(&text)
    }

    private func addStreams(_ text: inout MetricText, _ tallies: [StreamTally]) async {
        let counts = await registry.counts
        text.add(EdgeMetric.streams, Double(tallies.count))
        text.add(EdgeMetric.publishers, Double(counts.publishers))
        text.add(EdgeMetric.viewers, Double(counts.viewers))
        var states: [String: [String: Int]] = ["publisher": [:], "viewer": [:]]
        for tally in tallies {
            if let state = tally.publisher { states["publisher"]?[state.rawValue, default: 0] += 1 }
            for (state, count) in tally.viewers { states["viewer"]?[state.rawValue, default: 0] += count }
        }
        let samples = states.sorted { $0.key < $1.key }.flatMap { role, counts in
            counts.sorted { $0.key < $1.key }.map {
                MetricSample(["role": role, "state": $0.key], Double($0.value))
            }
        }
        text.add(EdgeMetric.sessionsByState, samples)
        func each(_ metric: Metric, _ value: (StreamTally) -> Int64) {
            text.add(metric, tallies.map { MetricSample(["stream": $0.stream], Double(value($0))) })
        }
        each(EdgeMetric.streamViewers) { $0.viewers.values.reduce(0) { $0 + Int64($1) } }
        each(EdgeMetric.streamIn) { $0.stats.publish.bytes }
        each(EdgeMetric.streamOut) { $0.stats.subscribe.bytes }
        each(EdgeMetric.streamInPackets) { $0.stats.publish.packets }
        each(EdgeMetric.streamOutPackets) { $0.stats.subscribe.packets }
    }

    private func addCascades(_ text: inout MetricText) async {
        let counts = await cascades.counts()
        let samples = [CascadeDirection.pull, .push].flatMap { direction in
            [CascadeStatus.State.connecting, .connected, .waiting].map { state in
                MetricSample(
                    ["direction": direction.rawValue, "state": state.rawValue], Double(counts[direction]?[state] ?? 0))
            }
        }
        text.add(EdgeMetric.cascades, samples)
        text.add(EdgeMetric.copies, Double(await registry.copyCount))
    }

    private func addSessions(_ text: inout MetricText, _ sessions: [SessionSnapshot], names: [StreamKey: String]) {
        let publishers = sessions.filter(\.handle.isPublisher).compactMap { session in
            names[session.handle.stream].map { (name: $0, session: session) }
        }.sorted { $0.name < $1.name }
        func each(_ metric: Metric, _ value: (SessionSnapshot) -> Double) {
            text.add(metric, publishers.map { MetricSample(["stream": $0.name], value($0.session)) })
        }
        each(EdgeMetric.publisherLost) { Double($0.lost) }
        each(EdgeMetric.publisherRTT) { Double($0.rttNs) / 1e9 }
        each(EdgeMetric.publisherKeyframeRequests) { Double($0.keyframeRequests) }
        var sums: [StreamKey: ViewerSums] = [:]
        for viewer in sessions where !viewer.handle.isPublisher { sums[viewer.handle.stream, default: ViewerSums()].add(viewer) }
        let streams = sums.compactMap { key, sums in names[key].map { (name: $0, sums: sums) } }.sorted { $0.name < $1.name }
        text.add(EdgeMetric.viewersLost, streams.map { MetricSample(["stream": $0.name], Double($0.sums.lost)) })
        text.add(EdgeMetric.viewersResent, streams.map { MetricSample(["stream": $0.name], Double($0.sums.resent)) })
        text.add(
            EdgeMetric.viewersAvailable,
            streams.compactMap { stream in stream.sums.available.map { MetricSample(["stream": stream.name], Double($0)) } })
        text.add(
            EdgeMetric.viewersByLayer,
            streams.flatMap { stream in
                stream.sums.layers.sorted { $0.key < $1.key }.map {
                    MetricSample(["stream": stream.name, "layer": $0.key], Double($0.value))
                }
            })
    }

    /// What the viewers of a stream have in common.
    private struct ViewerSums {
        var lost: UInt64 = 0
        var resent: UInt64 = 0
        var available: UInt64?
        var layers: [String: Int] = [:]

        mutating func add(_ viewer: SessionSnapshot) {
            lost &+= viewer.lost
            resent &+= viewer.resent
            if let bits = viewer.availableBitrate { available = min(bits, available ?? .max) }
            if let layer = viewer.layer { layers[layer, default: 0] += 1 }
        }
    }

    private func addLoops(_ text: inout MetricText, _ loops: [LoopSnapshot]) {
        func each(_ metric: Metric, _ value: (LoopSnapshot) -> Double) {
            text.add(metric, loops.map { MetricSample(["loop": String($0.loop)], value($0)) })
        }
        each(EdgeMetric.loopBusy) { Double($0.busyNs) / 1e9 }
        each(EdgeMetric.loopUp) { Double($0.upNs) / 1e9 }
        each(EdgeMetric.loopReceived) { Double($0.received) }
        each(EdgeMetric.loopSent) { Double($0.sent) }
        each(EdgeMetric.loopMessages) { Double($0.messages) }
        each(EdgeMetric.loopReceivedBytes) { Double($0.receivedBytes) }
        each(EdgeMetric.loopSentBytes) { Double($0.sentBytes) }
        let drops = loops.flatMap { loop in
            loop.drops.map {
                MetricSample(["loop": String(loop.loop), "reason": $0.reason], Double($0.count))
            }
        }
        text.add(EdgeMetric.drops, drops)
    }

    private func addRecordings(_ text: inout MetricText) {
        let numbers = recorder.metrics
        text.add(EdgeMetric.recordedStreams, Double(numbers.streams))
        text.add(EdgeMetric.recordings, Double(numbers.writing))
        text.add(EdgeMetric.segments, Double(numbers.segments))
        text.add(EdgeMetric.segmentBytes, Double(numbers.bytes))
        text.add(EdgeMetric.recordingLost, Double(numbers.lostPackets))
        text.add(EdgeMetric.recordingDropped, Double(numbers.droppedFrames))
        text.add(EdgeMetric.recordingOverflow, Double(numbers.overflowedPackets))
        text.add(EdgeMetric.recordingsPaused, Double(numbers.paused))
        text.add(EdgeMetric.recordingsRemoved, Double(numbers.removed))
        text.add(EdgeMetric.hooksDelivered, Double(numbers.hooks.delivered))
        text.add(EdgeMetric.hooksFailed, Double(numbers.hooks.failed))
        text.add(EdgeMetric.hooksDropped, Double(numbers.hooks.dropped))
        text.add(EdgeMetric.storageErrors, Double(numbers.storageErrors))
        if let uploads = numbers.uploads { addUploads(&text, uploads) }
        if let free = numbers.freeBytes { text.add(EdgeMetric.storageFree, Double(free)) }
    }

    private func addUploads(_ text: inout MetricText, _ numbers: ShipMetrics) {
        text.add(EdgeMetric.spoolBytes, Double(numbers.pendingBytes))
        text.add(EdgeMetric.spoolLimit, Double(numbers.limitBytes))
        text.add(EdgeMetric.spoolObjects, Double(numbers.pendingObjects))
        text.add(EdgeMetric.spoolAge, numbers.oldestSeconds)
        text.add(EdgeMetric.uploads, Double(numbers.uploadedObjects))
        text.add(EdgeMetric.uploadBytes, Double(numbers.uploadedBytes))
        text.add(EdgeMetric.uploadManifestBytes, Double(numbers.publishedBytes))
        text.add(EdgeMetric.uploadsLost, Double(numbers.lostObjects))
        text.add(
            EdgeMetric.uploadFailures,
            numbers.retries.sorted { $0.key < $1.key }.map { MetricSample(["reason": $0.key], Double($0.value)) })
        text.add(EdgeMetric.uploadsDenied, numbers.isDenied ? 1 : 0)
        if let last = numbers.lastUploadUs { text.add(EdgeMetric.uploadLast, Double(last) / 1e6) }
    }
}
