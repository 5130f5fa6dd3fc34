//! The H.264 header that video begins with, as nginx-rtmp's codec module reads it
//! (ngx_rtmp_codec_module.c, ngx_rtmp_codec_parse_avc_header).
//!
//! For one kind of picture order nginx-rtmp skips as many values as the header counts, also when it
//! has long been at the end. Everything up to that count is read here as it reads it.

use super::{Danger, MAX_REFERENCE_FRAMES};

const H264: u8 = 7;
const SEQUENCE_HEADER: u8 = 0;
const SPS: u64 = 0x67;

/// The profiles whose headers say more: H.264, section 7.3.2.1.1, as far as nginx-rtmp knows them.
const HIGH_PROFILES: [u64; 8] = [44, 83, 86, 100, 110, 118, 122, 244];

/// Checks a message of type 9, from its first buffer: nginx-rtmp looks no further.
///
/// # Errors
///
/// [`Danger::ReferenceFrames`].
#[inline]
pub fn video(first: &[u8]) -> Result<(), Danger> {
    match first {
        [codec, SEQUENCE_HEADER, _, ..] if codec & 0x0f == H264 => header(first),
        _ => Ok(()),
    }
}

fn header(bytes: &[u8]) -> Result<(), Danger> {
    match reference_frames(bytes) {
        Some(count) if count > MAX_REFERENCE_FRAMES => Err(Danger::ReferenceFrames(count)),
        _ => Ok(()),
    }
}

/// What nginx-rtmp takes for num_ref_frames_in_pic_order_cnt_cycle, if it reads one.
fn reference_frames(bytes: &[u8]) -> Option<u64> {
    let mut bits = Bits { bytes, at: 0 };
    bits.read(48); // FLV's header, and the version
    bits.read(32); // profile, compatibility, level, size of lengths
    if bits.read(8) & 0x1f == 0 {
        return None; // no SPS
    }
    bits.read(16); // its length
    if bits.read(8) != SPS {
        return None;
    }
    let profile = bits.read(8);
    bits.read(16); // flags, level
    bits.golomb(); // id
    if HIGH_PROFILES.contains(&profile) {
        let chroma = bits.golomb();
        if chroma == 3 {
            bits.read(1);
        }
        bits.golomb(); // depth of luma
        bits.golomb(); // depth of chroma
        bits.read(1);
        if bits.read(1) == 1 {
            bits.read(if chroma == 3 { 12 } else { 8 }); // scaling lists, taken for one bit each
        }
    }
    bits.golomb(); // frame numbers
    if bits.golomb() != 1 {
        return None; // another kind of picture order
    }
    bits.read(1);
    bits.golomb();
    bits.golomb();
    Some(bits.golomb())
}

/// nginx-rtmp's bit reader (ngx_rtmp_bitop.c): behind the end there are zeroes.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u64> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u64::from(bit))
    }

    /// A number of so many bits; 0 if the bytes end in it.
    fn read(&mut self, bits: u32) -> u64 {
        let mut number = 0;
        for _ in 0..bits {
            let Some(bit) = self.bit() else { return 0 };
            number = number << 1 | bit;
        }
        number
    }

    /// An Exp-Golomb number (H.264, section 9.1). nginx-rtmp's shift by the number of zeroes is one
    /// by its lowest six bits, on every processor that it runs on.
    fn golomb(&mut self) -> u64 {
        let mut zeroes = 0;
        while self.bit() == Some(0) {
            zeroes += 1;
        }
        1u64.wrapping_shl(zeroes).wrapping_add(self.read(zeroes)).wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golomb(value: u64) -> String {
        let digits = format!("{:b}", value + 1);
        "0".repeat(digits.len() - 1) + &digits
    }

    /// A header of FLV around an SPS of this profile, whose values follow as bits.
    fn message(profile: u8, bits: &str) -> Vec<u8> {
        let mut bytes =
            vec![0x17, 0, 0, 0, 0, 1, profile, 0, 30, 0xff, 0xe1, 0, 20, 0x67, profile, 0, 30];
        let bits: Vec<u8> = bits.bytes().map(|b| b - b'0').collect();
        bytes.extend(
            bits.chunks(8).map(|byte| {
                byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | bit << (7 - at))
            }),
        );
        bytes
    }

    /// An SPS of the baseline profile with this kind of picture order and count.
    fn baseline(order: &str, count: u64) -> Vec<u8> {
        let [id, frames, offset] = [0, 0, 0].map(golomb);
        message(66, &[&id, &frames, order, "0", &offset, &offset, &golomb(count), "11111"].concat())
    }

    #[test]
    fn as_many_reference_frames_as_the_standard_has_pass() {
        for count in [0, 1, 255, MAX_REFERENCE_FRAMES] {
            assert_eq!(video(&baseline(&golomb(1), count)), Ok(()), "{count}");
        }
    }

    #[test]
    fn a_count_that_would_keep_the_worker_busy_is_refused() {
        for count in [MAX_REFERENCE_FRAMES + 1, 1 << 40, (1 << 62) + 5] {
            let refused = Err(Danger::ReferenceFrames(count));
            assert_eq!(video(&baseline(&golomb(1), count)), refused);
        }
    }

    #[test]
    fn other_picture_orders_have_no_count() {
        for order in [0, 2, 3] {
            assert_eq!(video(&baseline(&golomb(order), 1 << 40)), Ok(()));
        }
    }

    #[test]
    fn a_shift_that_wraps_is_followed() {
        // 64 zeroes: to the processor 1 << 64 is 1, and the 64 bits behind make it order 1.
        let order = "0".repeat(64) + "1" + &"0".repeat(63) + "1";
        assert!(video(&baseline(&order, 1 << 40)).is_err());
    }

    #[test]
    fn a_high_profile_says_more_in_front() {
        let [zero, one, many] = [0, 1, 1 << 40].map(golomb);
        let rest = [&zero, &one, "0", &zero, &zero, &many, "111"].concat();
        let lists = |count: usize| "01".repeat(count / 2);
        for (chroma, scaling) in [
            (zero.clone(), "0".to_owned()),
            (one.clone(), "1".to_owned() + &lists(8)),
            (golomb(3) + "1", "1".to_owned() + &lists(12)),
        ] {
            let bits = [&zero, &chroma, &zero, &zero, "0", &scaling, &rest].concat();
            assert_eq!(video(&message(100, &bits)), Err(Danger::ReferenceFrames(1 << 40)));
        }
    }

    #[test]
    fn what_is_no_h264_header_is_not_read() {
        let bad = baseline(&golomb(1), 1 << 40);
        for (at, byte) in [(0, 0x12), (1, 1), (10, 0xe0), (13, 0x68)] {
            let mut other = bad.clone();
            other[at] = byte;
            assert_eq!(video(&other), Ok(()), "{at}");
        }
        for short in [&[][..], &[0x17], &[0x17, 0]] {
            assert_eq!(video(short), Ok(()));
        }
    }

    #[test]
    fn a_header_of_x264_passes() {
        // 160×120, profile High, as ffmpeg sends it.
        let sps =
            b"\x67\x64\x00\x0a\xac\xd9\x42\x84\x3f\x9f\x01\x6a\x02\x02\x02\x80\x00\x00\x03\x00\x80";
        let bytes = [b"\x17\0\0\0\0\x01\x64\0\x0a\xff\xe1\0\x15", &sps[..]].concat();
        assert_eq!(video(&bytes), Ok(()));
        for end in 0..bytes.len() {
            assert_eq!(video(&bytes[..end]), Ok(()));
        }
    }
}
