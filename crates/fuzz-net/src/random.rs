//! Numbers that look random, and are the same each time: SplitMix64 (Steele, Lea and Flood, "Fast
//! splittable pseudorandom number generators", 2014).

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One row of numbers.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The row of this number among those of a seed.
    pub fn new(seed: u64, number: u64) -> Random {
        let mut seeds = Random(seed);
        let start = seeds.next() ^ number.wrapping_mul(GAMMA).rotate_left(17);
        Random(start)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % (end as u64).max(1)) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// One of these, of which there is at least one.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_a_seed_is_always_the_same_row() {
        let row = |seed, number| {
            let mut random = Random::new(seed, number);
            [random.next(), random.next()]
        };
        assert_eq!(row(1, 7), row(1, 7));
        assert_ne!(row(1, 7), row(1, 8));
        assert_ne!(row(1, 7), row(2, 7));
    }
}
