//! Counter-based random numbers: a pure function of seed, step, operation and position.
//!
//! Philox 4×32 with ten rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3).
//! Nothing is stored and nothing advances, so a dropout mask is the same on any device, for any number of threads,
//! and after a restart.

/// The key of one training step's random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    /// The seed of the run.
    pub seed: u64,
    /// The training step.
    pub step: u64,
}

impl Philox {
    /// Four random words for elements `4·block … 4·block + 3` of operation `op`.
    #[inline(always)] // Loops over blocks vectorise.
    pub fn block(self, op: u32, block: u64) -> [u32; 4] {
        // The step's high half is folded into the key: it stays zero for four thousand million steps.
        let key = [self.seed as u32, (self.seed >> 32) as u32 ^ (self.step >> 32) as u32];
        philox4x32([block as u32, (block >> 32) as u32, op, self.step as u32], key)
    }

    /// A number in `[0, 1)` with 24 random bits for element `position` of operation `op`.
    pub fn uniform(self, op: u32, position: u64) -> f32 {
        to_unit(self.block(op, position / 4)[(position % 4) as usize])
    }
}

/// The top 24 bits of a word as a number in `[0, 1)`.
pub(crate) fn to_unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

#[inline(always)]
fn philox4x32(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    const M: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let (p0, p1) = (M[0] * u64::from(c[0]), M[1] * u64::from(c[2]));
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(W[0]), k[1].wrapping_add(W[1])];
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library.
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn uniform_numbers_are_uniform() {
        let key = Philox { seed: 42, step: 7 };
        let n = 100_000;
        let (mut sum, mut low) = (0.0f64, 0);
        for position in 0..n {
            let u = key.uniform(3, position);
            assert!((0.0..1.0).contains(&u));
            sum += f64::from(u);
            low += usize::from(u < 0.1);
        }
        assert!((sum / n as f64 - 0.5).abs() < 0.005, "mean {}", sum / n as f64);
        assert!((low as f64 / n as f64 - 0.1).abs() < 0.005, "share below 0.1: {low}");
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let word = |seed, step, op, position| Philox { seed, step }.uniform(op, position).to_bits();
        let base = word(1, 1, 1, 1);
        assert_eq!(base, word(1, 1, 1, 1));
        for other in
            [word(2, 1, 1, 1), word(1, 2, 1, 1), word(1, 1, 2, 1), word(1, 1, 1, 2), word(1 << 32, 1, 1, 1)]
        {
            assert_ne!(base, other);
        }
    }
}
