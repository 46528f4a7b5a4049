/// Width and height of a picture in pixels; 0 while unknown.
struct PictureSize: Equatable {
    var width: UInt16 = 0
    var height: UInt16 = 0

    var isKnown: Bool { width > 0 && height > 0 }
    var area: UInt64 { UInt64(width) * UInt64(height) }
}
