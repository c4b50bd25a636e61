package httpadapter

// DecodeTrack is what the fuzz test attacks.
var DecodeTrack = decodeTrack
