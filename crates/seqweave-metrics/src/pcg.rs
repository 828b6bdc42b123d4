//! The generator of NumPy's `default_rng`, so that resamples are those of sacreBLEU.

/// PCG XSL RR 128/64 (O'Neill 2014), seeded by NumPy's `SeedSequence`.
#[derive(Debug, Clone)]
pub(crate) struct Pcg64 {
    state: u128,
    increment: u128,
    /// The upper half of a drawn number, for the next draw of 32 bits.
    half: Option<u32>,
}

const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;

impl Pcg64 {
    /// The generator of `numpy.random.default_rng(seed)`.
    pub(crate) fn new(seed: u64) -> Self {
        let [s0, s1, i0, i1] = seed_words(seed).map(u128::from);
        let increment = ((i0 << 64 | i1) << 1) | 1;
        let state = increment.wrapping_add(s0 << 64 | s1);
        let mut pcg = Pcg64 { state, increment, half: None };
        pcg.step();
        pcg
    }

    /// A number below `n`, each as likely: `Generator.integers(0, n)` for `n` up to 2³².
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        if n <= 1 {
            return 0; // drawn without a draw, as in NumPy
        }
        // Lemire 2019: the upper half of the product, with the few low halves that would favour some left out.
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let drawn = folded.rotate_right((self.state >> 122) as u32);
        self.half = Some((drawn >> 32) as u32);
        drawn as u32
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }
}

/// Four words from a seed: a pool of four 32-bit words, mixed, then hashed out.
fn seed_words(seed: u64) -> [u64; 4] {
    let mut mixing = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ mixing;
        mixing = mixing.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(mixing);
        value ^ value >> 16
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..4 {
        for to in 0..4 {
            if from != to {
                let mixed = pool[to]
                    .wrapping_mul(0xca01_f9dd)
                    .wrapping_sub(hash(pool[from]).wrapping_mul(0x4973_f715));
                pool[to] = mixed ^ mixed >> 16;
            }
        }
    }
    let mut drawing = 0x8b51_f9dd_u32;
    let halves: [u32; 8] = std::array::from_fn(|i| {
        let value = pool[i % 4] ^ drawing;
        drawing = drawing.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(drawing);
        value ^ value >> 16
    });
    std::array::from_fn(|i| u64::from(halves[2 * i]) | u64::from(halves[2 * i + 1]) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// import numpy as np
    /// for seed in (12345, 0, 2**40 + 7):
    ///     rng = np.random.default_rng(seed)
    ///     print(rng.choice(1000, size=10), rng.choice(3, size=5), rng.choice(1, size=2), rng.choice(3_000_000_000, size=3))
    /// ```
    #[test]
    fn draws_are_those_of_numpy() {
        type Row = (u64, [u32; 10], [u32; 5], [u32; 3]);
        let rows: [Row; 3] = [
            (
                12345,
                [699, 227, 788, 316, 204, 797, 642, 676, 988, 391],
                [2, 0, 1, 1, 0],
                [560202556, 687406213, 2018268131],
            ),
            (
                0,
                [850, 636, 511, 269, 307, 40, 75, 16, 175, 813],
                [1, 2, 1, 1, 2],
                [1896812393, 1630874973, 1679752336],
            ),
            (
                (1 << 40) + 7,
                [206, 829, 609, 255, 17, 153, 504, 674, 885, 738],
                [0, 1, 2, 0, 1],
                [111816019, 2089329328, 2703664598],
            ),
        ];
        for (seed, thousand, three, large) in rows {
            let mut pcg = Pcg64::new(seed);
            assert_eq!(std::array::from_fn(|_| pcg.below(1000)), thousand, "{seed}");
            assert_eq!(std::array::from_fn(|_| pcg.below(3)), three, "{seed}");
            assert_eq!(std::array::from_fn(|_| pcg.below(1)), [0, 0], "{seed}");
            assert_eq!(std::array::from_fn(|_| pcg.below(3_000_000_000)), large, "{seed}");
        }
    }
}
