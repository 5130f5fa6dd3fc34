//! The handshake without digests (section 5.2), which nginx-rtmp answers in kind.

/// The length of each of C1, C2, S1 and S2.
pub const LEN: usize = 1536;

/// What the server has sent when it is the client's turn again: S0, S1 and S2.
pub const ANSWER_LEN: usize = 1 + 2 * LEN;

/// C0 and C1. Time and version are zero, which asks for no digest.
pub fn hello() -> Vec<u8> {
    let mut bytes = vec![0; 1 + LEN];
    bytes[0] = 3;
    for (index, byte) in bytes.iter_mut().enumerate().skip(9) {
        *byte = index as u8;
    }
    bytes
}

/// C2, which is S1 again; none until `answer` holds all of [`ANSWER_LEN`].
pub fn reply(answer: &[u8]) -> Option<&[u8]> {
    answer.get(1..1 + LEN).filter(|_| answer.len() >= ANSWER_LEN)
}
