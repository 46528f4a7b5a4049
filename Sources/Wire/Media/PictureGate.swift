/// Lets pictures pass that a decoder can decode: what follows a hole refers to what is missing, until the next key frame.
struct PictureGate: Sendable {
    /// Pictures that did not pass.
    private(set) var droppedUnits = 0
    /// Nothing passes before a key frame.
    private(set) var waitsForKeyframe = true

    /// Whether a picture passes.
    ///
    /// - Parameters:
    ///   - isWhole: nothing of the picture itself is missing or malformed.
    ///   - followsLoss: packets before it were lost.
    ///   - isKeyframe: it refers to nothing.
    mutating func admits(isWhole: Bool, followsLoss: Bool, isKeyframe: Bool) -> Bool {
        guard isWhole, isKeyframe || !followsLoss, isKeyframe || !waitsForKeyframe else {
            drop()
            return false
        }
        waitsForKeyframe = false
        return true
    }

    /// A picture is given up, and what refers to it.
    mutating func drop() {
        droppedUnits += 1
        waitsForKeyframe = true
    }
}
