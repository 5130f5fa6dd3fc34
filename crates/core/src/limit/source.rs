//! Who counts as one.

use std::net::{IpAddr, Ipv6Addr};

/// Where attempts come from. An IPv6 host has a whole /64 to choose its address from (RFC 4291,
/// section 2.5.1), so that network counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address.
    V4([u8; 4]),
    /// A /64.
    V6([u8; 8]),
}

impl Source {
    /// The source behind an address in text; `None` for what is no IP address, as a Unix socket's
    /// client has none.
    pub fn of(address: &str) -> Option<Source> {
        // An IPv4 client of a socket that listens on both has an address inside ::ffff:0:0/96.
        Some(match address.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => Source::V4(address.octets()),
            IpAddr::V6(address) => Source::V6(network(address)),
        })
    }

    /// Bytes that no other source has.
    pub(super) fn bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        match self {
            Source::V4(address) => {
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&address);
            }
            Source::V6(network) => {
                bytes[0] = 6;
                bytes[1..].copy_from_slice(&network);
            }
        }
        bytes
    }
}

fn network(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_of_one_64_are_one_source() {
        let source = Source::of("2001:db8:1:2::1").unwrap();
        for same in ["2001:db8:1:2:ffff::7", "2001:DB8:1:2:0:0:0:1"] {
            assert_eq!(Source::of(same), Some(source));
        }
        for other in ["2001:db8:1:3::1", "::1", "32.1.13.184"] {
            assert_ne!(Source::of(other), Some(source));
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert_eq!(Source::of("::ffff:192.0.2.7"), Source::of("192.0.2.7"));
        assert_ne!(Source::of("::ffff:192.0.2.7"), Source::of("::ffff:192.0.2.8"));
        assert_ne!(Source::of("::192.0.2.7"), Source::of("192.0.2.7"));
    }

    #[test]
    fn what_is_no_ip_address_is_no_source() {
        for text in ["", "unix:", "unix:/run/rtmp.sock", "192.0.2.7:80", "[::1]", "localhost"] {
            assert_eq!(Source::of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn sources_are_told_apart_by_their_bytes(a in any::<u64>(), b in any::<u32>()) {
            let bytes = [
                Source::V6(a.to_be_bytes()),
                Source::V6((a ^ 1).to_be_bytes()),
                Source::V4(b.to_be_bytes()),
                Source::V4((b ^ 1).to_be_bytes()),
            ]
            .map(Source::bytes);
            for (index, one) in bytes.iter().enumerate() {
                prop_assert!(!bytes[..index].contains(one));
            }
        }
    }
}
