import Foundation
import HTTP
import Log
import Store
import Synchronization

extension S3Store {
    /// Writes an object under a condition; verified by checksum or size.
    @discardableResult
    public func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        let request = BucketRequest(.put, name(key), headers: ["Content-Type": ContentType.of(key.name)]).with(bytes)
        return try await put(key, request, size: Int64(bytes.count), condition)
    }

    /// Writes an object from a file: in one request, or in parts when it is long.
    @discardableResult
    public func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        let contentType = contentType ?? ContentType.of(key.name)
        guard file.info.size <= parts.thresholdBytes else {
            return try await putParts(key, file, contentType, ifAbsent: ifAbsent)
        }
        let whole = 0..<file.info.size
        let digest = try await FileBytes(file: file).digest(of: whole)
        let request = BucketRequest(.put, name(key), headers: ["Content-Type": contentType]).with(file, whole, digest)
        return try await put(key, request, size: file.info.size, ifAbsent ? .absent : .none)
    }

    private func put(
        _ key: ObjectKey, _ request: BucketRequest, size: Int64, _ condition: PutCondition
    ) async throws(StoreError) -> ObjectInfo {
        var request = request
        request.headers["Content-MD5"] = request.digest.contentMD5
        request.headers.merge(try await conditionHeaders(key, condition))
        do throws(BucketFailure) {
            let answer = try await transport.send(request)
            return try await verified(key, answer, request.digest, size: size)
        } catch {
            // An attempt whose answer got lost has written the object that the next one met.
            if error.error == .preconditionFailed, error.attempts > 1, let found = try? await head(key), found.size == size,
                found.etag == request.digest.etag
            {
                return found
            }
            throw error.error == .preconditionFailed && condition == .absent ? .exists : error.error
        }
    }

    /// Throws `unavailable` when the store has other bytes than were sent.
    private func verified(
        _ key: ObjectKey, _ answer: BucketAnswer, _ digest: PayloadDigest, size: Int64
    ) async throws(BucketFailure) -> ObjectInfo {
        let tag = ObjectInfo.tag(answer.headers["ETag"])
        let now = transport.seconds * 1_000_000
        if Self.isDigest(tag, answer.headers) {
            guard tag.lowercased() == digest.etag else { throw damaged(answer) }
            return ObjectInfo(key: key, size: size, etag: tag, modifiedUs: now)
        }
        do throws(StoreError) {
            let found = try await head(key)
            guard found.size == size else { throw StoreError.unavailable(reason: "") }
            return found
        } catch {
            throw error == .unavailable(reason: "") ? damaged(answer) : BucketFailure(error: error, fault: nil, attempts: 1)
        }
    }

    private func damaged(_ answer: BucketAnswer) -> BucketFailure {
        BucketFailure(
            error: .unavailable(reason: "the store has other bytes than were sent"), fault: nil, attempts: answer.attempts)
    }

    /// The tag of an object in one piece is its MD5, unless the store encrypts it with keys of its own or its owner's.
    static func isDigest(_ tag: String, _ headers: HTTPHeaders) -> Bool {
        let digits = tag.utf8.dropFirst().dropLast()
        guard tag.utf8.count == 34, digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0 | 0x20) }) else {
            return false
        }
        return headers["x-amz-server-side-encryption"]?.hasPrefix("aws:kms") != true
            && headers["x-amz-server-side-encryption-customer-algorithm"] == nil
    }

    // MARK: conditions

    /// How a store judges conditions.
    enum Conditions: Sendable {
        /// It does not.
        case none
        /// As RFC 9110 has them.
        case quoted
        /// Entity tags without their quotes, as Ceph's gateway wants them.
        case bare
    }

    /// Asks the store once, by writing a small object again and again: Amazon and Ceph answer 412, some answer 501, and some say
    /// 200 and overwrite.
    public func supportsConditions() async throws(StoreError) -> Bool {
        try await conditions() != .none
    }

    private func conditions() async throws(StoreError) -> Conditions {
        if let known = probedConditions.withLock({ $0 }) { return known }
        let key = name(prefix: ".probe/\(UUID().uuidString)")
        let result: Conditions
        if let first = try await probe(key, "If-None-Match", "*"), try await probe(key, "If-None-Match", "*") == nil {
            result = try await probe(key, "If-Match", ObjectInfo.tag(first.headers["ETag"])) == nil ? .bare : .quoted
        } else {
            result = .none
        }
        _ = try? await transport.send(BucketRequest(.delete, key))
        probedConditions.withLock { $0 = result }
        if result == .none { Self.log.info("the store has no conditional writes", ["root": root]) }
        return result
    }

    /// Nil when the condition did not hold, or when the store knows none.
    private func probe(_ key: String, _ condition: String, _ value: String) async throws(StoreError) -> BucketAnswer? {
        let request = BucketRequest(.put, key, headers: [condition: value, "Content-Type": "text/plain"]).with(
            Array("probe".utf8))
        do throws(BucketFailure) {
            return try await transport.send(request)
        } catch {
            switch error.error {
            case .preconditionFailed, .failed(_, ENOSYS): return nil
            default: throw error.error
            }
        }
    }

    /// Where the store doesn't judge conditions, they are looked at here, before and not together with writing.
    func conditionHeaders(_ key: ObjectKey, _ condition: PutCondition) async throws(StoreError) -> HTTPHeaders {
        if condition == .none { return [:] }
        switch (try await conditions(), condition) {
        case (.none, _), (_, .none): break
        case (_, .absent): return ["If-None-Match": "*"]
        case (.quoted, .matches(let tag)): return ["If-Match": tag]
        case (.bare, .matches(let tag)): return ["If-Match": tag.filter { $0 != "\"" }]
        }
        let found: ObjectInfo?
        do throws(StoreError) {
            found = try await head(key)
        } catch {
            guard error == .notFound else { throw error }
            found = nil
        }
        switch condition {
        case .none: break
        case .absent: if found != nil { throw .exists }
        case .matches(let tag): if found?.etag != tag { throw .preconditionFailed }
        }
        return [:]
    }
}

extension HTTPHeaders {
    /// Sets the fields of another.
    mutating func merge(_ other: HTTPHeaders) {
        for field in other { self[field.name] = field.value }
    }
}
