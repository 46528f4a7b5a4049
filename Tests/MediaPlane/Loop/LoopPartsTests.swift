import CLinux
import Glibc
import Testing

@testable import MediaPlane

@Suite("Timer wheel: 10 ms resolution, never early, nothing forgotten")
struct TimerWheelTests {
    @Test("every node fires once, in time, whatever was rescheduled", arguments: 0..<10)
    func model(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var now: UInt64 = 1_000_000_000_000
        var wheel = TimerWheel(now: now)
        let fanout = UnsafeMutablePointer<Fanout>.allocate(capacity: 1)
        defer { fanout.deallocate() }
        let nodes = UnsafeMutablePointer<TimerNode>.allocate(capacity: 50)
        nodes.initialize(repeating: TimerNode(.fanout(fanout)), count: 50)
        defer { nodes.deallocate() }
        var wanted: [Int: UInt64] = [:]
        for _ in 0..<2000 {
            let which = Int.random(in: 0..<50, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                wheel.cancel(nodes + which)
                wanted[which] = nil
            case 1:
                let deadline = now + UInt64.random(in: 0...3_000_000_000, using: &random)
                wheel.hasten(nodes + which, to: deadline)
                wanted[which] = min(wanted[which] ?? .max, deadline)
            default:
                let deadline = now + UInt64.random(in: 0...3_000_000_000, using: &random)
                wheel.schedule(nodes + which, at: deadline)
                wanted[which] = deadline
            }
            // Nobody sleeps past a node, nor for less than until just before the first of them.
            let wake = wheel.nextDeadlineNs
            if let first = wanted.values.min() {
                #expect(wake >= first - min(first, TimerWheel.tickNs) || wake <= now)
                #expect(wake <= max(first, now) + TimerWheel.tickNs)
            }
            now += UInt64.random(in: 0...200_000_000, using: &random)
            while let node = wheel.takeDue(now: now) {
                let fired = node - nodes
                guard let deadline = wanted.removeValue(forKey: fired) else {
                    Issue.record("fired without being asked")
                    continue
                }
                // Hastening keeps an earlier wake, which may come before the deadline by one tick at most.
                #expect(now + TimerWheel.tickNs >= deadline)
            }
            for deadline in wanted.values { #expect(deadline + 2 * TimerWheel.tickNs > now, "late") }
            let next = wheel.nextDeadlineNs
            let count = wheel.count
            #expect(count == wanted.count)
            #expect((next == .max) == wanted.isEmpty)
        }
    }

    private func withNode(_ body: (UnsafeMutablePointer<TimerNode>) -> Void) {
        let fanout = UnsafeMutablePointer<Fanout>.allocate(capacity: 1)
        defer { fanout.deallocate() }
        let node = UnsafeMutablePointer<TimerNode>.allocate(capacity: 1)
        defer { node.deallocate() }
        node.initialize(to: TimerNode(.fanout(fanout)))
        body(node)
    }

    @Test(
        "a deadline past the ring fires early rather than never, and a long sleep costs nothing",
        arguments: [0, 320_000_000] as [UInt64])
    func far(start: UInt64) {
        withNode { node in
            var wheel = TimerWheel(now: start)
            wheel.schedule(node, at: start + 3_600_000_000_000)
            let early = wheel.nextDeadlineNs
            #expect(early > start && early < start + 42_000_000_000)
            let fired = wheel.takeDue(now: start + 3_600_000_000_000)
            #expect(fired == node)
            let nothing = wheel.takeDue(now: 7_200_000_000_000_000)
            #expect(nothing == nil)
        }
    }

    @Test(
        "what is put off while it is far off stays where it is; what is near, or is to wake sooner, moves",
        arguments: [(9_000, 10_000, 9_000), (9_000, 8_000, 8_000), (4_000, 9_000, 9_000)])
    func puttingOff(first: UInt64, then: UInt64, wakes: UInt64) {
        withNode { node in
            var wheel = TimerWheel(now: 0)
            for deadline in [first, then] { wheel.schedule(node, at: deadline * 1_000_000) }
            let next = wheel.nextDeadlineNs
            #expect(next == wakes * 1_000_000 + TimerWheel.tickNs)
            let early = wheel.takeDue(now: wakes * 1_000_000 - 1)
            #expect(early == nil)
            let due = wheel.takeDue(now: wakes * 1_000_000 + TimerWheel.tickNs)
            #expect(due == node)
        }
    }
}

@Suite("Load of a loop: who comes is refused before those who watch are served late")
struct LoopLoadTests {
    @Test("shares are of whole windows, two in a row, and are judged by the limit")
    func window() {
        let gauge = LoopGauge()
        var window = LoadWindow(startNs: 1_000)
        let half = MediaLimits.loadWindowNs / 2
        #expect(window.add(busyNs: half / 2, endingAt: 1_000 + half) == nil)
        #expect(window.add(busyNs: half / 2, endingAt: 1_000 + 2 * half) == 0)
        // Work that lasts longer than a window fills it; one full window is no overload yet.
        #expect(window.add(busyNs: 8 * half, endingAt: 1_000 + 10 * half) == 500)
        #expect(window.add(busyNs: 2 * half, endingAt: 1_000 + 12 * half) == 1000)
        #expect(window.add(busyNs: 0, endingAt: 1_000 + 14 * half) == 0)
        #expect(!gauge.isSaturated)
        gauge.set(permille: MediaLimits.saturationPermille)
        #expect(gauge.isSaturated)
        gauge.set(permille: MediaLimits.saturationPermille - 1)
        #expect(!gauge.isSaturated)
    }

    @Test("time that others took counts as far as the loop was busy itself, once there is something to compare with")
    func waiting() {
        let ms: UInt64 = 1_000_000
        var window = LoadWindow(startNs: 0)
        var now: UInt64 = 0
        var total: (ranNs: UInt64, waitedNs: UInt64) = (5_000 * ms, 9_000 * ms)
        func share(busy: UInt64, ran: UInt64, waited: UInt64) -> UInt32? {
            now += 250 * ms
            total = (total.ranNs + ran * ms, total.waitedNs + waited * ms)
            return window.add(busyNs: busy * ms, endingAt: now, times: { total })
        }
        #expect(share(busy: 100, ran: 50, waited: 0) == 0)
        #expect(share(busy: 150, ran: 100, waited: 50) == 400)
        // 125 ms of 250 run, 100 waited; then a loop with little to do on a machine that has much.
        #expect(share(busy: 225, ran: 125, waited: 100) == 600)
        #expect(share(busy: 125, ran: 125, waited: 100) == 900)
        #expect(share(busy: 10, ran: 10, waited: 240) == 80)
        #expect(share(busy: 10, ran: 10, waited: 240) == 80)
        // Where the kernel doesn't tell, what the loop saw.
        now += 500 * ms
        #expect(window.add(busyNs: 250 * ms, endingAt: now) == 80)
        now += 500 * ms
        #expect(window.add(busyNs: 250 * ms, endingAt: now) == 500)
    }

    @Test(
        "the kernel's line on a thread",
        arguments: [
            ("12 34 5\n", 12, 34), ("12 0 0", 12, 0), ("0 0 0", nil, nil), ("12", nil, nil), ("", nil, nil), ("a b c", nil, nil),
            ("99999999999999999999 1 1", nil, nil),
        ] as [(String, UInt64?, UInt64?)])
    func line(text: String, ran: UInt64?, waited: UInt64?) {
        let read = Array(text.utf8).withUnsafeBytes { ThreadTimes.parse($0) }
        #expect(read?.ranNs == ran && read?.waitedNs == waited)
    }

    @Test(
        "what gives way to loops does so wherever the process was started, as far as there is room",
        arguments: [(0, 5), (-10, -5), (12, 17), (17, 19), (19, 19)] as [(Int32, Int32)])
    func giveWay(own: Int32, nice: Int32) {
        #expect(ControlPriority.nice(below: own) == nice)
    }

    @Test("a thread that was given another scheduling policy keeps it")
    func policy() {
        var thread = pthread_t()
        let found = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        defer { found.deallocate() }
        found.initialize(to: -1)
        #expect(pthread_create(&thread, nil, runUnderPolicy, found) == 0)
        pthread_join(thread, nil)
        #expect(found.pointee == batchPolicy)
    }

    @Test("sessions go to a loop with time left, though it has more of them; with none, to the one with fewest")
    func placement() throws {
        let (_, events) = AsyncStream.makeStream(of: MediaEvent.self)
        let directory = PlaneDirectory(mailboxes: try (0..<2).map { _ in try Mailbox() }, events: events)
        func place(_ name: String) throws -> Int {
            try directory.reserve(stream: StreamKey(id: 1), isPublisher: false, ufrag: name, loop: nil).loop
        }
        directory.gauges[0].set(permille: 1000)
        #expect(try place("a") == 1 && place("b") == 1)
        directory.gauges[1].set(permille: 1000)
        #expect(try place("c") == 0)
    }

    @Test("of a session's user fragments the last two are kept, however often ICE restarts; the others are free again")
    func restarts() throws {
        let (_, events) = AsyncStream.makeStream(of: MediaEvent.self)
        let directory = PlaneDirectory(mailboxes: [try Mailbox()], events: events)
        func reserve(_ name: String) throws(MediaPlaneError) -> SessionHandle {
            try directory.reserve(stream: StreamKey(id: 1), isPublisher: false, ufrag: name, loop: nil)
        }
        let session = try reserve("0")
        for restart in 1...1000 { try directory.addUfrag("\(restart)", to: session) }
        let kept = (0...1000).filter { name in
            do throws(MediaPlaneError) {
                directory.forget(try reserve("\(name)"))
                return false
            } catch { return error == .duplicateUfrag }
        }
        #expect(kept == [999, 1000])
        directory.forget(session)
        for name in kept { directory.forget(try reserve("\(name)")) }
    }
}

/// SCHED_BATCH, which takes no right.
private let batchPolicy: Int32 = 3

/// A thread that takes short turns under another policy; tells which it has then.
private func runUnderPolicy(_ found: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    var parameter = sched_param()
    sched_setscheduler(0, batchPolicy, &parameter)
    tributary_take_short_turns(MediaLimits.turnNs)
    found?.storeBytes(of: sched_getscheduler(0), as: Int32.self)
    return nil
}

@Suite("Address table")
struct AddressTableTests {
    @Test("behaves like a dictionary over inserts, moves and removals", arguments: 0..<6)
    func model(seed: Int) {
        var random = Mutator.Random(seed: UInt64(seed))
        var table = AddressTable(seed: UInt64(seed))
        let sessions = UnsafeMutablePointer<PeerSession>.allocate(capacity: 8)
        defer { sessions.deallocate() }
        var model: [SocketAddress: UnsafeMutablePointer<PeerSession>] = [:]
        for _ in 0..<5000 {
            let address = SocketAddress(
                ipv4: 0x7F00_0001 + UInt32.random(in: 0...3, using: &random), port: UInt16.random(in: 1...300, using: &random))
            let session = sessions + Int.random(in: 0..<8, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                table.remove(address, of: session)
                if model[address] == session { model[address] = nil }
            } else {
                table.insert(address, session)
                model[address] = session
            }
            let count = table.count
            #expect(count == model.count)
        }
        for host in 0..<4 {
            for port in 1...300 {
                let address = SocketAddress(ipv4: 0x7F00_0001 + UInt32(host), port: UInt16(port))
                let found = table.find(address)
                #expect(found == model[address])
            }
        }
    }
}

@Suite("Requests to a publisher: NACK (RFC 4585 §6.2.1) and keyframes (§6.3.1)")
struct RequestTests {
    private func due(_ nacks: inout NackGenerator, _ ms: UInt64, rttMs: UInt64 = 0) -> [UInt16] {
        var buffer = [UInt16](repeating: 0, count: 64)
        let count = buffer.withUnsafeMutableBufferPointer {
            nacks.due(now: ms * 1_000_000, rttNs: rttMs * 1_000_000, into: $0)
        }
        return Array(buffer[0..<count])
    }

    private func receive(_ nacks: inout NackGenerator, _ sequence: UInt64, _ ms: UInt64) {
        _ = nacks.receive(sequence, now: ms * 1_000_000)
    }

    @Test("a gap is held for 10 ms or four packets, then asked for every 40 ms, ten times", arguments: sequenceStarts)
    func rhythm(start: Int) {
        var nacks = NackGenerator()
        let base = UInt64(1 << 16 | start)
        receive(&nacks, base, 1000)
        receive(&nacks, base + 3, 1000)
        let wanted = [UInt16(truncatingIfNeeded: base + 1), UInt16(truncatingIfNeeded: base + 2)]
        var asked = [due(&nacks, 1005)]
        asked.append(due(&nacks, 1010))
        asked.append(due(&nacks, 1049))
        asked.append(due(&nacks, 1050))
        #expect(asked == [[], wanted, [], wanted])
        receive(&nacks, base + 1, 1055)
        var times = 0
        for step in 0..<100 where !due(&nacks, 1060 + UInt64(step) * 10).isEmpty { times += 1 }
        #expect(times == 8, "ten requests for the one that never comes")
        let left = nacks.count
        #expect(left == 0)
    }

    @Test("four newer packets end the hold; a long round trip stretches the repeats")
    func reorder() {
        var nacks = NackGenerator()
        for sequence in [100, 102, 103, 104] as [UInt64] { receive(&nacks, sequence, 1000) }
        let held = due(&nacks, 1000)
        receive(&nacks, 105, 1000)
        let asked = due(&nacks, 1000)
        let early = due(&nacks, 1100, rttMs: 200)
        let later = due(&nacks, 1200, rttMs: 200)
        #expect([held, asked, early, later] == [[], [101], [], [101]])
    }

    @Test("more missing than can be repaired: a keyframe is better")
    func hopeless() {
        var nacks = NackGenerator()
        receive(&nacks, 100_000, 1)
        let isHopeless = if case .hopeless = nacks.receive(100_000 + 1500, now: 2) { true } else { false }
        let left = nacks.count
        #expect(isHopeless && left == 0)
    }

    @Test("wishes are joined, repeated until answered, and ever more rarely when ignored")
    func keyframes() {
        var requester = KeyframeRequester()
        let second: UInt64 = 1_000_000_000
        #expect(requester.take(now: 10 * second) == false)
        for _ in 0..<500 { requester.want() }
        var sent: [UInt64] = []
        for step in 0..<4000 {
            let now = 10 * second + UInt64(step) * 10_000_000
            if requester.take(now: now) { sent.append(now / 10_000_000 - 1000) }
        }
        #expect(sent == [0, 50, 100, 150, 250, 450, 850, 1650, 2450, 3250])
        #expect(requester.isIgnored)
        requester.keyframeArrived()
        #expect(requester.take(now: 100 * second) == false)
        requester.want()
        #expect(requester.take(now: 100 * second) == true)
        requester.keyframeArrived()
        requester.want()
        #expect(requester.take(now: 100 * second + 400_000_000) == false)
        #expect(requester.take(now: 100 * second + 500_000_000) == true)
    }
}

@Suite("Clocks: receiver statistics (RFC 3550 A.3, A.8) and the mapping to a wall clock (§6.4.1)")
struct ClockTests {
    @Test("loss, jitter and delay as the RFC computes them", arguments: sequenceStarts)
    func statistics(start: Int) {
        var stats = ReceiverStats()
        let base = UInt64(1 << 16 | start)
        for index in 0..<100 where index % 10 != 3 {
            // 20 ms apart, every other packet 5 ms late: a jitter of 5 ms in the limit.
            let arrival = 1_000_000_000 + UInt64(index) * 20_000_000 + (index % 2 == 0 ? 0 : 5_000_000)
            stats.record(
                sequence: base + UInt64(index), timestamp: 0xFFFF_F000 &+ UInt32(index) * 960, arrivalNs: arrival,
                clockRate: 48000)
        }
        stats.recordSenderReport(ntp: 0x0001_0002_0003_0004, arrivalNs: 3_000_000_000)
        let block = stats.report(ssrc: 5, now: 4_500_000_000)
        #expect(block.cumulativeLost == 10)
        #expect(block.fractionLost == 25)
        #expect(block.highestSequence == UInt32(start + 99))
        #expect(block.lastReport == 0x0002_0003)
        #expect(block.delaySinceLastReport == 65536 * 3 / 2)
        #expect(block.jitter > 150 && block.jitter < 260)
        let quiet = stats.report(ssrc: 5, now: 5_000_000_000)
        #expect(quiet.fractionLost == 0 && quiet.cumulativeLost == 10)
        stats.record(sequence: base + 98, timestamp: 0, arrivalNs: 1, clockRate: 48000)
        #expect(stats.lost == 9, "a duplicate counts against loss")
    }

    @Test("NTP fixed point is exact to a nanosecond")
    func ntp() {
        for ns in [0, 1, 999_999_999, 1_000_000_000, 3_900_000_000_123_456_789] as [UInt64] {
            let back = NTP.ns(fixed: NTP.fixed(ns: ns))
            #expect(ns - back <= 1)
        }
    }

    @Test("reports move the mapping gently once it is known, and nonsense not at all")
    func mapping() {
        var clock = SourceClock()
        #expect(!clock.isUsable)
        clock.anchorAtArrival(timestamp: 0xFFFF_FF00, wallNs: 50_000_000_000, clockRate: 90_000)
        #expect(clock.wall(of: 0xFFFF_FF00 &+ 90_000, clockRate: 90_000) == 51_000_000_000)
        func report(_ seconds: UInt64, ntp: UInt64, errorMs: Int64, mayJump: Bool) -> SourceClock.Verdict {
            clock.report(
                timestamp: 0xFFFF_FF00 &+ UInt32(seconds) * 90_000, ntpNs: ntp,
                wallNs: UInt64(Int64(50_000_000_000 + seconds * 1_000_000_000) + errorMs * 1_000_000),
                arrivalNs: seconds * 1_000_000_000 + 1, clockRate: 90_000, mayJump: mayJump)
        }
        func error(_ seconds: UInt64) -> Int64 {
            let wall = clock.wall(of: 0xFFFF_FF00 &+ UInt32(seconds) * 90_000, clockRate: 90_000)
            return (Int64(wall) - Int64(50_000_000_000 + seconds * 1_000_000_000)) / 1_000_000
        }
        #expect(report(1, ntp: 0, errorMs: 900, mayJump: true) == .wrongTimestamp)
        #expect(report(1, ntp: 7_000_000_000, errorMs: 900, mayJump: true) == .taken)
        #expect(error(1) == 900)
        #expect(report(2, ntp: 8_000_000_000, errorMs: 870, mayJump: false) == .taken)
        #expect(error(2) == 890, "10 ms a step")
        #expect(report(3, ntp: 20_000_000_000, errorMs: 0, mayJump: false) == .clockJumped, "a clock that ran 12 s in one")
        #expect(error(3) == 890)
        #expect(report(4, ntp: 21_000_000_000, errorMs: 890, mayJump: false) == .taken, "it goes on from there")
    }
    @Test(
        "a report whose timestamp isn't of its time moves nothing, first or later", arguments: [-3600, -3, 3, 10_000] as [Int64])
    func wrongTimestamp(seconds wrong: Int64) {
        var clock = SourceClock()
        clock.anchorAtArrival(timestamp: 90_000, wallNs: 50_000_000_000, clockRate: 90_000)
        func report(_ seconds: UInt64, wrong: Int64) -> SourceClock.Verdict {
            clock.report(
                timestamp: UInt32(truncatingIfNeeded: (Int64(seconds) + 1 + wrong) * 90_000),
                ntpNs: (7 + seconds) * 1_000_000_000,
                wallNs: (50 + seconds) * 1_000_000_000, arrivalNs: seconds * 1_000_000_000 + 1, clockRate: 90_000,
                mayJump: true)
        }
        #expect(report(1, wrong: wrong) == .wrongTimestamp)
        #expect(clock.wall(of: 90_000 * 3, clockRate: 90_000) == 52_000_000_000)
        #expect(report(2, wrong: 0) == .taken)
        #expect(report(3, wrong: wrong) == .wrongTimestamp)
        #expect(clock.wall(of: 90_000 * 5, clockRate: 90_000) == 54_000_000_000)
    }
}

@Suite("What comes gathers a little where waking costs more than reading")
struct LullTests {
    /// A loop that wakes each half a millisecond, so many times; returns what it would let gather after each.
    private func wakes(_ lull: inout Lull, from start: UInt64, count: Int, datagrams: Int, workedNs: UInt64 = 50_000) -> [Int32] {
        (1...count).map { number in
            let now = start + UInt64(number) * 500_000
            lull.activeNs = now
            lull.note(datagrams: datagrams, workedNs: workedNs, now: now)
            return lull.gatherMs(now)
        }
    }

    @Test("few datagrams are read at once, those of a crowd after a millisecond, and at once again when it has gone")
    func crowd() {
        var lull = Lull(now: 0)
        let few = wakes(&lull, from: 0, count: 40, datagrams: 2)
        #expect(Set(few) == [0])
        let many = wakes(&lull, from: 20_000_000, count: 40, datagrams: 4)
        #expect(many.last == Lull.crowdMs)
        let fewAgain = wakes(&lull, from: 40_000_000, count: 40, datagrams: 1)
        #expect(fewAgain.last == 0)
    }

    @Test("a loop that works for long waits for nothing, nor does one whose window was long")
    func busy() {
        var lull = Lull(now: 0)
        let long = wakes(&lull, from: 0, count: 40, datagrams: 10, workedNs: 1_000_000)
        #expect(Set(long) == [0])
        lull.note(datagrams: 1000, workedNs: 50_000, now: 100_000_000)
        let after = lull.gatherMs(100_000_000)
        #expect(after == 0)
    }

    @Test("consent checks alone gather for longer, once nothing else has come for a second")
    func checks() {
        var lull = Lull(now: 0)
        lull.activeNs = 5_000_000_000
        #expect(lull.gatherMs(5_999_999_999) == 0)
        #expect(lull.gatherMs(6_000_000_001) == Lull.checksMs)
    }
}
