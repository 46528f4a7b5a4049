import Foundation
import HTTP
import Log
import Store
import Synchronization

extension RemoteBucket {
    /// Writes an object under a condition; verified by checksum or size.
    @discardableResult
    public func put(_ key: ObjectKey, _ bytes: [UInt8], condition: PutCondition) async throws(StoreError) -> ObjectInfo {
        let request = BucketRequest(.put, name(key), headers: ObjectKind(key.name).writtenHeaders())
            .with(bytes, dialect.traits.digest)
        return try await put(key, request, size: Int64(bytes.count), condition)
    }

    /// Writes an object from a file: in one request, or in parts when it is long.
    @discardableResult
    public func put(
        _ key: ObjectKey, file: LocalFile, contentType: String?, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        let headers = ObjectKind(key.name).writtenHeaders(as: contentType)
        guard file.info.size <= parts.thresholdBytes else {
            return try await putParts(key, file, headers, ifAbsent: ifAbsent)
        }
        let whole = 0..<file.info.size
        let digest = try await FileBytes(file: file).digest(of: whole, dialect.traits.digest)
        let request = BucketRequest(.put, name(key), headers: headers).with(file, whole, digest)
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
            if error.error == .preconditionFailed, error.attempts > 1, let found = try? await look(key), found.info.size == size,
                dialect.judge(found.headers, request.digest) == .same
            {
                return found.info
            }
            throw error.error == .preconditionFailed && condition == .absent ? .exists : error.error
        }
    }

    /// Throws `unavailable` when the store has other bytes than were sent.
    private func verified(
        _ key: ObjectKey, _ answer: BucketAnswer, _ digest: PayloadDigest, size: Int64
    ) async throws(BucketFailure) -> ObjectInfo {
        let tag = ObjectInfo.tag(answer.headers["ETag"])
        switch dialect.judge(answer.headers, digest) {
        case .same where !tag.isEmpty:
            return ObjectInfo(key: key, size: size, etag: tag, modifiedUs: transport.seconds * 1_000_000)
        case .other: throw damaged(answer)
        case .same, .unknown: break
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

    // MARK: conditions

    /// How a store judges conditions.
    enum Conditions: Sendable {
        /// It does not.
        case none
        /// Only that nothing is there.
        case absence
        /// As RFC 9110 has them.
        case quoted
        /// Entity tags without their quotes, as Ceph's gateway wants them.
        case bare
    }

    /// Asks the store once, by writing a small object again and again: Amazon and Ceph answer 412, some answer 501, and some say
    /// 200 and overwrite. False for OSS, which judges `absent` together with writing, except in buckets with versions, but knows no
    /// other condition.
    public func supportsConditions() async throws(StoreError) -> Bool {
        switch try await conditions() {
        case .none, .absence: false
        case .quoted, .bare: true
        }
    }

    private func conditions() async throws(StoreError) -> Conditions {
        if let known = probedConditions.withLock({ $0 }) { return known }
        let key = name(prefix: ".probe/\(UUID().uuidString)")
        let result: Conditions
        let absent = dialect.traits.absent
        if let first = try await probe(key, absent), try await probe(key, absent) == nil {
            if dialect.traits.hasMatch {
                result = try await probe(key, ["If-Match": ObjectInfo.tag(first.headers["ETag"])]) == nil ? .bare : .quoted
            } else {
                result = .absence
            }
        } else {
            result = .none
        }
        _ = try? await transport.send(BucketRequest(.delete, key))
        probedConditions.withLock { $0 = result }
        if result == .none { Self.log.info("the store has no conditional writes", ["root": root]) }
        return result
    }

    /// Nil when the condition did not hold, or when the store knows none.
    private func probe(_ key: String, _ condition: HTTPHeaders) async throws(StoreError) -> BucketAnswer? {
        var request = BucketRequest(.put, key, headers: condition).with(Array("probe".utf8), dialect.traits.digest)
        request.headers["Content-Type"] = "text/plain"
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
        case (.none, _), (_, .none), (.absence, .matches): break
        case (_, .absent): return dialect.traits.absent
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

extension ObjectKind {
    /// What an object is written with, so that whoever reads it from the bucket itself is told the same as by us.
    fileprivate func writtenHeaders(as type: String? = nil) -> HTTPHeaders {
        ["Content-Type": type ?? contentType, "Cache-Control": cacheControl]
    }
}
