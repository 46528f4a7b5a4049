import Auth
import HTTP

extension PlaybackRoute {
    /// A POST to the address of a file, which answers with that address and a signature: who may play the stream fetches the file
    /// with it, without a header, within a minute. Nil where an answer leads to more addresses.
    public func link(_ gate: Gate) -> PlaybackRoute? {
        guard isFile else { return nil }
        let access = access
        return PlaybackRoute(
            pattern: pattern,
            description: RouteDescription(
                "This address with a signature that stands for a token, for \(LinkSignature.lifetimeSeconds) s",
                tag: "playback", parameters: description.parameters,
                responses: [RouteResponse(200, "The address, as url", contentType: "application/json")]),
            isMedia: false, access: access
        ) { request in
            guard case .subscribe(let stream) = try access(request) else { throw HTTPError(.forbidden, "forbidden") }
            let link = Link(url: gate.link(to: request, stream: stream, now: WallClock.seconds()))
            return try .json(link, headers: ["Cache-Control": "no-store"])
        }
    }

    private struct Link: Encodable {
        let url: String
    }
}

extension Gate {
    /// The path and query of a request, with a signature when not everybody may ask for them.
    ///
    /// - Parameter now: Unix seconds.
    func link(to request: HTTPRequest, stream: String, now: Int64) -> String {
        // A credential has no place in a link, nor has an older signature.
        let left = Self.queryNames + [LinkSignature.expiryName, LinkSignature.queryName]
        let items = request.query.filter { !left.contains($0.name) }
            .map { "\(PercentCoding.encode($0.name))=\(PercentCoding.encode($0.value))" }
        let expiry = "\(LinkSignature.expiryName)=\(now + LinkSignature.lifetimeSeconds)"
        let address = "\(request.rawPath)?\((items + [expiry]).joined(separator: "&"))"
        guard let signature = authorizer.signature(of: address, stream: stream) else {
            return items.isEmpty ? request.rawPath : "\(request.rawPath)?\(items.joined(separator: "&"))"
        }
        return "\(address)&\(LinkSignature.queryName)=\(signature)"
    }

    /// Who comes with a link; nil when it is none, or not any more.
    ///
    /// - Parameter now: Unix seconds.
    func linked(_ request: HTTPRequest, _ access: Access, now: Int64) -> Principal? {
        guard case .subscribe(let stream) = access, let signature = request.query.first(LinkSignature.queryName),
            let expires = request.query.first(LinkSignature.expiryName).flatMap({ Int64($0) })
        else { return nil }
        let end = "&\(LinkSignature.queryName)=\(signature)"
        // Nothing may stand behind it: it says nothing of that.
        guard request.rawQuery.hasSuffix(end) else { return nil }
        let address = "\(request.rawPath)?\(request.rawQuery.dropLast(end.count))"
        return authorizer.principal(of: signature, for: address, stream: stream, expires: expires, now: now)
    }
}
