//! The attempts of one address under a limit. Input: the rate, the burst, and what happens: an attempt
//! that fails, one that does not, or one that is not settled yet, each some time after the one before.
//!
//! Whatever the times are, no more attempts have failed or are out than the limit allows.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use stagedoor_core::limit::{Attempts, Limit, Secret, Slot, Source};

const SECOND: u64 = 1_000_000_000;

fuzz_target!(|data: &[u8]| {
    let Some((head, mut steps)) = data.split_first_chunk::<6>() else { return };
    let [unit, r0, r1, r2, b0, b1] = *head;
    let (rate, burst) = (u32::from_be_bytes([r0 & 0x7f, r1, r2, 1]), u16::from_be_bytes([b0, b1]));
    let (unit, length) = if unit & 1 == 0 { ("s", SECOND) } else { ("m", 60 * SECOND) };
    let limit = Limit::parse(&format!("{}r/{unit}", rate >> (head[0] >> 3)))
        .and_then(|limit| limit.with_burst(&format!("burst={burst}")));
    let Some(limit) = limit else { return };
    let interval = (length / u64::from(rate >> (head[0] >> 3))).max(1);

    let mut slots: Vec<Slot> = (0..64).map(|_| Slot::default()).collect();
    let mut attempts = Attempts::open(Secret::generate().unwrap(), &mut slots);
    let source = Source::V4(Ipv4Addr::LOCALHOST.octets());
    let (mut now, mut used, mut out) = (SECOND, 0u128, Vec::new());
    while let Some(([what, high, low, shift], rest)) = steps.split_first_chunk::<4>() {
        steps = rest;
        let pause = u64::from(u16::from_be_bytes([*high, *low])) << (shift % 48);
        now = now.saturating_add(pause);
        match attempts.take(source, limit, now) {
            Ok(charge) if what % 3 == 2 => out.push(charge),
            Ok(charge) if what % 3 == 1 => attempts.give_back(charge, now),
            Ok(charge) => {
                attempts.fail(charge, now);
                used += 1;
            }
            Err(_) => {
                if let Some(charge) = out.pop() {
                    attempts.give_back(charge, now);
                }
            }
        }
        let came_back = u128::from((now - SECOND) / interval);
        let allowed = u128::from(burst) + came_back + 1;
        assert!(used + out.len() as u128 <= allowed, "{used} and {} of {allowed}", out.len());
    }
});
