/// A status code (RFC 9110 section 15).
public struct HTTPStatus: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
    /// The three digits.
    public let rawValue: Int

    /// Any code; the codes this project answers with have names below.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Lets a status be written as a number.
    public init(integerLiteral value: Int) { rawValue = value }

    /// The code as text, for logs and metric labels.
    public var description: String { String(rawValue) }

    /// True for 2xx.
    public var isSuccess: Bool { (200..<300).contains(rawValue) }

    /// 200
    public static let ok: HTTPStatus = 200
    /// 201
    public static let created: HTTPStatus = 201
    /// 202
    public static let accepted: HTTPStatus = 202
    /// 204
    public static let noContent: HTTPStatus = 204
    /// 206
    public static let partialContent: HTTPStatus = 206
    /// 304
    public static let notModified: HTTPStatus = 304
    /// 307
    public static let temporaryRedirect: HTTPStatus = 307
    /// 400
    public static let badRequest: HTTPStatus = 400
    /// 401
    public static let unauthorized: HTTPStatus = 401
    /// 403
    public static let forbidden: HTTPStatus = 403
    /// 404
    public static let notFound: HTTPStatus = 404
    /// 405
    public static let methodNotAllowed: HTTPStatus = 405
    /// 408
    public static let requestTimeout: HTTPStatus = 408
    /// 409
    public static let conflict: HTTPStatus = 409
    /// 410
    public static let gone: HTTPStatus = 410
    /// 412
    public static let preconditionFailed: HTTPStatus = 412
    /// 413
    public static let contentTooLarge: HTTPStatus = 413
    /// 415
    public static let unsupportedMediaType: HTTPStatus = 415
    /// 416
    public static let rangeNotSatisfiable: HTTPStatus = 416
    /// 422
    public static let unprocessableContent: HTTPStatus = 422
    /// 428 (RFC 6585 section 3)
    public static let preconditionRequired: HTTPStatus = 428
    /// 429 (RFC 6585 section 4)
    public static let tooManyRequests: HTTPStatus = 429
    /// 500
    public static let internalServerError: HTTPStatus = 500
    /// 501
    public static let notImplemented: HTTPStatus = 501
    /// 502
    public static let badGateway: HTTPStatus = 502
    /// 503
    public static let serviceUnavailable: HTTPStatus = 503
    /// 504
    public static let gatewayTimeout: HTTPStatus = 504
    /// 507 (RFC 4918 section 11.5)
    public static let insufficientStorage: HTTPStatus = 507
}
