import CLinux
import Foundation
import MediaPlane
import Store
import Synchronization

/// A thread that records some of the streams: empties their taps, writes, and may be slow without anyone else noticing.
final class RecorderThread: Sendable {
    enum Command: Sendable {
        case add(StreamTask.Seed)
        case stop(stream: String, CheckedContinuation<Void, Never>)
        case end(CheckedContinuation<Void, Never>)
    }

    private let inbox = Mutex<Inbox>(Inbox())
    private let wake: Int32
    private let environment: RecorderEnvironment
    private let onRemoved: @Sendable (_ stream: String, _ status: StreamStatus) -> Void

    private struct Inbox {
        var commands: [Command] = []
        var isClosed = false
    }

    /// How often packets are taken and time passes for every stream, in milliseconds.
    static let tickMs: Int32 = 50

    /// - Parameter onRemoved: called on the thread when a task ended by itself.
    init(
        environment: RecorderEnvironment, number: Int, onRemoved: @escaping @Sendable (String, StreamStatus) -> Void
    ) throws(RecordError) {
        self.environment = environment
        self.onRemoved = onRemoved
        wake = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard wake >= 0 else { throw .storage(.failed(operation: "eventfd", code: errno)) }
        let thread = Thread { [self] in run() }
        thread.name = "record-\(number)"
        thread.start()
    }

    deinit {
        close(wake)
    }

    /// Any thread. What comes after the end is answered as if there were nothing to do.
    func post(_ command: Command) {
        let isTaken = inbox.withLock { inbox in
            if !inbox.isClosed { inbox.commands.append(command) }
            return !inbox.isClosed
        }
        if isTaken { _ = eventfd_write(wake, 1) } else { Self.refuse(command) }
    }

    private static func refuse(_ command: Command) {
        switch command {
        case .add(let seed): seed.tap.close()
        case .stop(_, let done), .end(let done): done.resume()
        }
    }

    private func run() {
        tributary_name_thread("record")
        var tasks: [String: StreamTask] = [:]
        while true {
            // Not woken by packets: taking what has come twenty times a second costs a fraction, and the taps hold seconds.
            var waiting = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, tasks.isEmpty ? -1 : Self.tickMs)
            let nowNs = WallClock.monotonicNs()
            for task in Array(tasks.values) where !task.tick(nowNs: nowNs) { remove(task, from: &tasks) }
            guard obey(&tasks) else { return }
        }
    }

    private func remove(_ task: StreamTask, from tasks: inout [String: StreamTask]) {
        task.stop()
        tasks[task.stream] = nil
        onRemoved(task.stream, task.shared)
    }

    /// False when the thread shall end.
    private func obey(_ tasks: inout [String: StreamTask]) -> Bool {
        var counter: eventfd_t = 0
        _ = eventfd_read(wake, &counter)
        let taken = inbox.withLock { inbox in
            inbox.isClosed = inbox.commands.contains { if case .end = $0 { true } else { false } }
            defer { inbox.commands = [] }
            return inbox.commands
        }
        var goesOn = true
        for command in taken {
            guard goesOn else {
                Self.refuse(command)
                continue
            }
            switch command {
            case .add(let seed):
                do throws(StoreError) {
                    let task = try StreamTask(seed, environment: environment)
                    tasks[seed.stream] = task
                } catch {
                    seed.shared.update(.paused, problem: "storage failed: \(error)", session: nil)
                    seed.tap.close()
                    environment.shipper?.releaseClaims(ids: [seed.firstID])
                    onRemoved(seed.stream, seed.shared)
                }
            case .stop(let stream, let done):
                tasks.removeValue(forKey: stream)?.stop()
                done.resume()
            case .end(let done):
                for task in tasks.values { task.stop() }
                tasks = [:]
                goesOn = false
                done.resume()
            }
        }
        return goesOn
    }
}
