import HTTP
import Log
import Store
import Synchronization

extension RemoteBucket {
    /// How long an upload in parts may go on before it is taken for a leftover, whoever began it.
    static let staleUs: Int64 = 24 * 3_600 * 1_000_000

    /// Writes a long file in parts, one after the other, and gives the upload up when one fails.
    func putParts(
        _ key: ObjectKey, _ file: LocalFile, _ headers: HTTPHeaders, ifAbsent: Bool
    ) async throws(StoreError) -> ObjectInfo {
        await sweepOnceADay()
        // Before many bytes are sent for nothing; the store judges again at the end.
        let condition = try await conditionHeaders(key, ifAbsent ? .absent : .none)
        if ifAbsent, (try? await head(key)) != nil { throw .exists }
        let upload = try await beginUpload(key, headers)
        do throws(StoreError) {
            let sent = try await sendParts(key, upload, file)
            return try await complete(key, upload, sent, condition, size: file.info.size)
        } catch {
            await abort(name(key), upload)
            throw error
        }
    }

    private struct SentPart {
        let tag: String
        let digest: PayloadDigest
        let bytes: Int64
    }

    private func beginUpload(_ key: ObjectKey, _ headers: HTTPHeaders) async throws(StoreError) -> String {
        let answer = try await send(BucketRequest(.post, name(key), query: [.init("uploads")], headers: headers))
        guard let upload = (try? XMLReader.parse(answer.body))?.text("UploadId"), !upload.isEmpty else {
            throw .unavailable(reason: "the store gave no upload")
        }
        return upload
    }

    private func sendParts(_ key: ObjectKey, _ upload: String, _ file: LocalFile) async throws(StoreError) -> [SentPart] {
        let size = file.info.size
        let partBytes = max(parts.partBytes, (size + parts.partsMax - 1) / parts.partsMax)
        var sent: [SentPart] = []
        for start in stride(from: Int64(0), to: size, by: Int64.Stride(partBytes)) {
            let range = start..<min(size, start + partBytes)
            let digest = try await FileBytes(file: file).digest(of: range, dialect.traits.digest)
            var request = BucketRequest(
                .put, name(key), query: [.init("partNumber", String(sent.count + 1)), .init("uploadId", upload)])
            request.headers["Content-MD5"] = digest.contentMD5
            let answer = try await send(request.with(file, range, digest))
            let tag = ObjectInfo.tag(answer.headers["ETag"])
            guard !tag.isEmpty, dialect.judge(answer.headers, digest) != .other else {
                throw .unavailable(reason: "the store has other bytes than were sent")
            }
            sent.append(SentPart(tag: tag, digest: digest, bytes: Int64(range.count)))
        }
        return sent
    }

    private func complete(
        _ key: ObjectKey, _ upload: String, _ sent: [SentPart], _ condition: HTTPHeaders, size: Int64
    ) async throws(StoreError) -> ObjectInfo {
        let body = sent.enumerated().map { index, part in
            "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(XMLElement.escaped(part.tag))</ETag></Part>"
        }
        var request = BucketRequest(.post, name(key), query: [.init("uploadId", upload)], headers: condition)
        request.headers["Content-Type"] = "application/xml"
        let document = "<CompleteMultipartUpload>\(body.joined())</CompleteMultipartUpload>"
        let whole = PayloadDigest(joining: sent.map { ($0.digest, $0.bytes) })
        do throws(BucketFailure) {
            let answer = try await transport.send(request.with(Array(document.utf8), dialect.traits.digest))
            // 200 is sent before the work is done, so that the failure comes in the body.
            if let root = try? XMLReader.parse(answer.body), root.name == "Error" {
                let fault = BucketFault(status: 500, headers: answer.headers, body: answer.body)
                throw BucketFailure(error: .unavailable(reason: fault.reason), fault: fault, attempts: answer.attempts)
            }
        } catch {
            if error.error == .preconditionFailed { throw .exists }
            // An attempt whose answer got lost has ended the upload already.
            guard error.error == .notFound, error.attempts > 1, let found = try? await look(key),
                dialect.judge(found.headers, whole) == .same
            else {
                throw error.error == .notFound ? .unavailable(reason: "the upload is gone") : error.error
            }
            return found.info
        }
        let found = try await look(key)
        guard found.info.size == size else { throw .unavailable(reason: "the store has another length than was sent") }
        guard dialect.judge(found.headers, whole) != .other else {
            throw .unavailable(reason: "the store has other bytes than were sent")
        }
        return found.info
    }

    private func abort(_ name: String, _ upload: String) async {
        // Not in the caller's task, which may be cancelled: what was sent costs money until it is given up.
        let transport = transport
        let task = Task { _ = try? await transport.send(BucketRequest(.delete, name, query: [.init("uploadId", upload)])) }
        await task.value
    }

    // MARK: leftovers

    private func sweepOnceADay() async {
        let now = transport.clock.nowUs()
        let isDue = lastSweepUs.withLock { last in
            guard last == .min || now - last > Self.staleUs else { return false }
            last = now
            return true
        }
        guard isDue else { return }
        do throws(StoreError) {
            let count = try await abortStaleUploads(olderThanUs: now - Self.staleUs)
            if count > 0 { Self.log.info("gave up unfinished uploads", ["count": String(count)]) }
        } catch {
            Self.log.warning("can't look for unfinished uploads", ["reason": "\(error)"])
        }
    }

    /// Gives up uploads in parts beneath the root that were begun before `olderThanUs` (Unix microseconds) and not finished, such as
    /// by a process that was killed. A rule of the bucket (AbortIncompleteMultipartUpload) does the same without us.
    /// - Returns: how many.
    @discardableResult
    public func abortStaleUploads(olderThanUs: Int64) async throws(StoreError) -> Int {
        var count = 0
        var marker: [BucketRequest.Parameter] = []
        let prefix = root.isEmpty ? "" : root + "/"
        while true {
            let answer = try await send(
                BucketRequest(
                    .get, "", query: [.init("uploads"), .init("prefix", prefix), .init("max-uploads", "1000")] + marker))
            guard let page = try? XMLReader.parse(answer.body) else {
                throw .unavailable(reason: "the list of uploads is not XML")
            }
            for upload in page.all("Upload") {
                guard let key = upload.text("Key"), key.utf8.starts(with: prefix.utf8), let id = upload.text("UploadId"),
                    let begun = upload.text("Initiated").flatMap({ BasicDate.parse($0) }), begun < olderThanUs
                else { continue }
                await abort(key, id)
                count += 1
            }
            guard page.text("IsTruncated") == "true", let key = page.text("NextKeyMarker"),
                let id = page.text("NextUploadIdMarker")
            else { return count }
            marker = [.init("key-marker", key), .init("upload-id-marker", id)]
        }
    }
}
