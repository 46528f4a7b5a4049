import CLinux
import Glibc
import Journal
import Log
import MediaPlane
import Store

/// One stream being recorded, from its tap to storage. Belongs to a recorder thread.
///
/// A storage that fails does not end it: what is written is closed as well as possible, and recording goes on by itself, in a new
/// session, once storage works again.
final class StreamTask {
    let stream: String
    let key: StreamKey
    let tap: StreamTap
    let shared: StreamStatus
    let environment: RecorderEnvironment
    let writer: SessionWriter
    private var settings: TimelineSettings
    private let isAutomatic: Bool
    private var recorder: StreamRecorder
    private var tracks: [TapTrack]?
    private var sourceEndedNs: UInt64?
    private var pausedUntilNs: UInt64?
    private var repairs: [ObjectKey] = []
    /// The day, since 1970, whose directory was asked for last.
    private var claimedDay: Int64 = 0
    /// The sessions for which names were asked for.
    private var claimedIDs: [String]
    private var countedLosses = StreamRecorder.Losses()
    private var reported: Status?

    private struct Status: Equatable {
        let session: String?
        let fault: RecordingFault?
    }

    /// How long to leave a failed storage alone: at first, and at most.
    static let pauseNs: ClosedRange<UInt64> = 2_000_000_000...30_000_000_000
    private var pauseNs = pauseNs.lowerBound

    init(_ seed: Seed, environment: RecorderEnvironment) throws(StoreError) {
        stream = seed.stream
        key = seed.key
        tap = seed.tap
        shared = seed.shared
        isAutomatic = seed.isAutomatic
        claimedIDs = [seed.firstID]
        self.environment = environment
        var settings = TimelineSettings()
        settings.segmentSeconds = environment.settings.segmentSeconds
        settings.soundTarget = environment.settings.soundTarget
        settings.sessionSecondsMax = environment.settings.recordingSecondsMax(asked: seed.shared.secondsMax)
        settings.rotatesAtMidnight = RecordingLayout.rotates(seed.baseDirectory)
        self.settings = settings
        recorder = StreamRecorder(settings: settings, wallClock: environment.wallClock())
        writer = try SessionWriter(
            store: environment.store, stream: stream, node: environment.node, baseDirectory: seed.baseDirectory,
            segmentSeconds: settings.segmentSeconds, firstID: seed.firstID, clock: environment.clock, index: environment.index,
            shipper: environment.shipper)
    }

    /// What a task is made of; crosses threads.
    struct Seed: Sendable {
        let stream: String
        let key: StreamKey
        let tap: StreamTap
        let shared: StreamStatus
        let baseDirectory: ObjectKey?
        let firstID: String
        let isAutomatic: Bool
    }

    /// Shortly before midnight, asks for the plain names of the next day's directory, for the session that begins then.
    private func claimTomorrow() {
        guard let shipper = environment.shipper, settings.rotatesAtMidnight, writer.session != nil else { return }
        let nowUs = environment.clock.now()
        let dayUs: Int64 = 86_400_000_000
        let tomorrow = nowUs / dayUs + 1
        guard tomorrow * dayUs - nowUs < 60_000_000, tomorrow != claimedDay else { return }
        claimedDay = tomorrow
        let (stream, node) = (stream, environment.node)
        guard let directory = try? RecordingLayout.directory(stream: stream, base: writer.baseDirectory, atUs: tomorrow * dayUs)
        else { return }
        let id = RecordingLayout.newID(atUs: nowUs)
        // Here and now: a stop that comes before the task has begun must find it.
        guard shipper.expectClaim(directory, id: id, stream: stream) else { return }
        claimedIDs.append(id)
        Task { await shipper.claim(directory, id: id, stream: stream, node: node) }
    }

    /// A limit that was asked for while it records holds from the next cut on.
    private func followLimit() {
        let secondsMax = environment.settings.recordingSecondsMax(asked: shared.secondsMax)
        guard secondsMax != settings.sessionSecondsMax else { return }
        settings.sessionSecondsMax = secondsMax
        recorder.settings.sessionSecondsMax = secondsMax
    }

    /// Takes what has come and lets time pass. False when the task has nothing left to do and can be removed.
    func tick(nowNs: UInt64) -> Bool {
        followLimit()
        // First: a stall elsewhere on the thread must not make what has arrived meanwhile look late.
        tap.drain { event in take(event) }
        if let until = pausedUntilNs {
            if nowNs >= until { resume(nowNs: nowNs) }
            return true
        }
        recorder.tick(nowNs: nowNs, wallClock: environment.wallClock())
        claimTomorrow()
        let graceNs = UInt64(environment.settings.reconnectSeconds) * 1_000_000_000
        let isAway = sourceEndedNs.map { nowNs >= $0 &+ graceNs } ?? false
        if isAway, recorder.isRecording { recorder.endSession(nowNs: nowNs) }
        perform()
        guard isAway, isAutomatic else { return true }
        return !shared.beginClosing(unlessWantedSince: nowNs &- min(nowNs, graceNs))
    }

    /// Finishes everything.
    func stop() {
        followLimit()
        tap.drain { event in take(event) }
        if pausedUntilNs == nil {
            recorder.endSource(nowNs: WallClock.monotonicNs())
            recorder.endSession(nowNs: WallClock.monotonicNs())
            perform()
        }
        tap.close()
        repair()
        leaveOpen()
        environment.shipper?.releaseClaims(ids: claimedIDs)
        shared.update(.stopped, problem: nil, session: nil)
    }

    // MARK: Events

    private func take(_ event: borrowing TapEvent) {
        switch event {
        case .source(_, let tracks):
            self.tracks = tracks
            sourceEndedNs = nil
            if pausedUntilNs == nil { beginSource(tracks) }
        case .packet(let track, let sequence, let timestamp, let arrivalNs, let marker, let payload):
            guard pausedUntilNs == nil, !payload.isEmpty else { return }
            recorder.receive(
                track: track, sequence: sequence, timestamp: timestamp, arrivalNs: arrivalNs, marker: marker,
                payload: Array(payload))
        case .senderReport(let track, let ntp, let timestamp, let arrivalNs):
            recorder.receiveReport(track: track, ntp: ntp, timestamp: timestamp, arrivalNs: arrivalNs)
        case .gap(let lost):
            environment.count { $0.overflowedPackets += Int64(lost) }
            recorder.receiveGap()
        case .sourceEnded:
            tracks = nil
            sourceEndedNs = WallClock.monotonicNs()
            if pausedUntilNs == nil { recorder.endSource(nowNs: WallClock.monotonicNs()) }
        }
        // At once: a long backlog must not pile up in memory, nor a full disk be noticed late.
        if !recorder.actions.isEmpty { perform() }
    }

    private func beginSource(_ tracks: [TapTrack]) {
        recorder.beginSource(tracks, nowNs: WallClock.monotonicNs(), wallClock: environment.wallClock())
        for reason in recorder.leftOut { environment.log.warning("a track is left out", ["stream": stream, "reason": reason]) }
        shared.warn(recorder.leftOut.isEmpty ? nil : recorder.leftOut.joined(separator: "; "))
    }

    // MARK: Actions

    private func perform() {
        let actions = recorder.actions
        recorder.actions = []
        var shortage: StoreError?
        do throws(StoreError) {
            for action in actions {
                switch action {
                case .keyframeWanted: environment.requestKeyframe(key)
                case .sessionBegan: try requireSpace()
                default: break
                }
                let ending = action == .sessionEnded ? writer.session : nil
                try writer.perform(action)
                if announceSettled() { shortage = shortage ?? self.shortage() }
                announce(action, ending: ending)
            }
            try writer.endBatch()
            if announceSettled() { shortage = shortage ?? self.shortage() }
            if let shortage { try closeForSpace(shortage) }
        } catch {
            fail(error)
        }
        report()
    }

    /// Tells of segments that have become durable; false when none has.
    private func announceSettled() -> Bool {
        let settled = writer.takeSettled()
        guard !settled.isEmpty else { return false }
        for kind in settled { announceSegment(kind) }
        pauseNs = Self.pauseNs.lowerBound
        return true
    }

    private func report() {
        let losses = recorder.losses
        if losses != countedLosses {
            let (packets, frames) = (losses.packets - countedLosses.packets, losses.frames - countedLosses.frames)
            countedLosses = losses
            environment.count {
                $0.lostPackets += packets
                $0.droppedFrames += frames
            }
        }
        guard pausedUntilNs == nil else { return }
        let status = Status(session: writer.sessionID, fault: recorder.fault)
        guard status != reported else { return }
        reported = status
        let session = writer.session
        shared.update(session == nil ? .waiting : .recording, problem: recorder.fault.map(Self.text), session: session)
    }

    /// Why nothing more should be written; nil when there is room.
    private func shortage(isPaused: Bool = false) -> StoreError? {
        if let space = try? environment.store.spaceNow(), space.free < environment.settings.freeBytesNeeded(of: space.all) {
            return .noSpace(code: ENOSPC)
        }
        guard let shipper = environment.shipper else { return nil }
        return shipper.hasRoom(for: shared.lastSegmentBytes, isPaused: isPaused) ? nil : Self.spoolFull
    }

    /// No errno of a file system: the spool's bound is ours.
    private static let spoolFull = StoreError.noSpace(code: 0)

    private func requireSpace() throws(StoreError) {
        if let shortage = shortage() { throw shortage }
    }

    /// Room is running out: ends cleanly while there still is some.
    private func closeForSpace(_ shortage: StoreError) throws(StoreError) {
        recorder.endSession(nowNs: WallClock.monotonicNs())
        let actions = recorder.actions
        recorder.actions = []
        for action in actions where action != .sessionEnded {
            try writer.perform(action)
            _ = announceSettled()
            announce(action, ending: nil)
        }
        let ending = writer.session
        let reason = shortage == Self.spoolFull ? "the spool is full" : "no space"
        try writer.endSession(reason: reason)
        announce(.sessionEnded, ending: ending, reason: reason)
        throw shortage
    }

    // MARK: Failure

    private func fail(_ error: StoreError) {
        environment.count { $0.storageErrors += 1 }
        environment.log.error(
            "recording stops until storage works again", ["stream": stream, "error": "\(error)"])
        if let key = writer.journalKey { repairs.append(key) }
        writer.abandon()
        pausedUntilNs = WallClock.monotonicNs() &+ pauseNs
        pauseNs = min(pauseNs * 2, Self.pauseNs.upperBound)
        recorder = StreamRecorder(settings: settings, wallClock: environment.wallClock())
        countedLosses = StreamRecorder.Losses()
        reported = nil
        shared.update(.paused, problem: Self.text(error), session: nil)
        repair()
    }

    private func resume(nowNs: UInt64) {
        // Asked first: what can't be repaired after that has a fault of its own, and keeps nothing else from being written.
        let isItsOwn = repairs.last.map { takesOthers(beside: $0) } ?? true
        repair()
        guard repairs.isEmpty || isItsOwn, shortage(isPaused: true) == nil else {
            pausedUntilNs = nowNs &+ Self.pauseNs.lowerBound
            return
        }
        leaveOpen()
        pausedUntilNs = nil
        environment.log.info("recording goes on", ["stream": stream])
        if let tracks { beginSource(tracks) }
        perform()
    }

    /// Closes what a failure left open, as far as storage lets us.
    private func repair() {
        let tool = environment.repair
        repairs.removeAll { key in
            do throws(StoreError) {
                let outcome = try tool.repair(key, reason: "storage failed")
                if let session = outcome.session {
                    environment.index.put(session)
                    announceEnd(session, reason: nil)
                } else if let id = JournalName.id(of: key) {
                    environment.index.remove(id)
                }
                try environment.shipper?.adoptNow(key, isRemoved: outcome == .removed)
                return true
            } catch {
                return false
            }
        }
    }

    /// Whether storage takes all that a session writes, where an earlier one could not be closed.
    private func takesOthers(beside journal: ObjectKey) -> Bool {
        guard let parent = journal.parent else { return false }
        var directory = SessionDirectory(store: environment.store, key: parent)
        let name = ".\(RecordingLayout.newID(atUs: environment.clock.now()))\(FileStore.temporarySuffix)"
        do throws(StoreError) {
            let probe = try directory.object(name)
            try environment.store.putNow(probe, [0], ifAbsent: true)
            try environment.store.deleteNow(probe)
            try directory.writeManifest(
                own: nil, publishUs: environment.clock.next(), segmentSeconds: environment.settings.segmentSeconds)
            return true
        } catch {
            return false
        }
    }

    /// Leaves what could not be closed to those who look after such things; nobody writes it any more.
    private func leaveOpen() {
        for key in repairs {
            environment.log.error("a recording could not be finished yet", ["stream": stream, "journal": key.path])
            if let id = JournalName.id(of: key), environment.index.live(id) != nil { environment.index.remove(id) }
            environment.leaveOpen(key, reason: "storage failed")
        }
        repairs = []
    }

    private static func text(_ error: StoreError) -> String {
        if error == spoolFull { return "the spool is full: the remote store does not take recordings fast enough" }
        if case .noSpace = error { return "no space left where recordings go" }
        if case .notFound = error { return "the recording's directory was removed" }
        return "storage failed: \(error)"
    }

    private static func text(_ fault: RecordingFault) -> String {
        switch fault {
        case .noRecordableTrack: "no track is in a codec that can be recorded (H.264, H.265, VP8, VP9, AV1, Opus)"
        case .muxer(let error): "the muxer failed: \(error)"
        }
    }
}

extension WallClock {
    static func monotonicNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    static func realtimeUs() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec) / 1000
    }
}
