//! Training examples cut anew for each epoch, where a side asks for it.

use rayon::prelude::*;

use crate::batch::Example;
use crate::codec::Codec;
use crate::error::Result;
use crate::shard::Examples;
use crate::subword::{Noise, Side, noise_rng};

/// Texts whose pieces chance decides, epoch by epoch.
///
/// The pieces of an example are a pure function of the seed, the epoch and the example's number: neither threads nor what
/// was asked for before matters, so there is no state to save.
///
/// An epoch costs one pass over the texts, as the first reading did, on all threads of the pool; its ids are held beside
/// those of the first reading.
#[derive(Debug, Clone)]
pub struct Resampler {
    seed: u64,
    src: Option<Texts>,
    tgt: Option<Texts>,
}

#[derive(Debug, Clone)]
struct Texts {
    codec: Codec,
    noise: Noise,
    texts: Vec<String>,
}

impl Resampler {
    /// A resampler, if a side has noise. `texts` are those of the examples, in their order.
    pub fn new<'a, I>(seed: u64, sides: [(&Codec, Option<Noise>); 2], texts: I) -> Option<Self>
    where
        I: Iterator<Item = (&'a str, &'a str)> + Clone,
    {
        let [(src, of_src), (tgt, of_tgt)] = sides;
        let side = |codec: &Codec, noise: Option<Noise>, pick: fn((&'a str, &'a str)) -> &'a str| {
            let texts = || texts.clone().map(|pair| pick(pair).to_owned()).collect();
            noise.map(|noise| Texts { codec: codec.clone(), noise, texts: texts() })
        };
        let (src, tgt) = (side(src, of_src, |(src, _)| src), side(tgt, of_tgt, |(_, tgt)| tgt));
        (src.is_some() || tgt.is_some()).then_some(Self { seed, src, tgt })
    }

    /// The examples of one epoch. `base` are those of the first reading, whose ids stay where a side has no noise.
    ///
    /// # Errors
    /// As [`Examples::get`].
    pub fn epoch(&self, base: &Examples, epoch: u64) -> Result<Examples> {
        let cut = |texts: &Option<Texts>, side: Side, i: usize, base: Vec<u32>| match texts {
            Some(Texts { codec, noise, texts }) => {
                codec.sample(&texts[i], *noise, &mut noise_rng(self.seed, epoch, i as u64, side))
            }
            None => base,
        };
        let example = |i: usize| -> Result<Example> {
            let Example { src, tgt } = base.get(i)?;
            Ok(Example {
                src: cut(&self.src, Side::Source, i, src),
                tgt: cut(&self.tgt, Side::Target, i, tgt),
            })
        };
        let examples: Vec<Example> = (0..base.len()).into_par_iter().map(example).collect::<Result<_>>()?;
        Ok(Examples::of(&examples, base.parts().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DataConfig, SideConfig};
    use crate::corpus::Pair;
    use crate::prepare::prepare;
    use crate::tokenize::Level;

    #[test]
    fn an_epoch_is_a_function_of_seed_epoch_and_example() {
        let pair =
            |i: u64| Pair { src: format!("lower towers {}", i % 7), tgt: "the lowest tower".into(), line: i };
        let pairs: Vec<Pair> = (0..40).map(pair).collect();
        let side = SideConfig { level: Level::Bpe, max_vocab: 60, dropout: 0.3, ..SideConfig::default() };
        let plain = SideConfig { dropout: 0.0, ..side.clone() };
        let config = DataConfig { src: side, tgt: plain, ..DataConfig::default() };
        let data = prepare(&pairs, &config).unwrap();
        let texts = data.texts.iter().map(|pair| (pair.src.as_str(), pair.tgt.as_str()));
        let sides = [(&data.src, config.src.noise()), (&data.tgt, config.tgt.noise())];
        let new = |seed| Resampler::new(seed, sides, texts.clone()).unwrap();
        let base = data.examples.to_vec().unwrap();
        let cut = |seed, epoch| new(seed).epoch(&data.examples, epoch).unwrap().to_vec().unwrap();
        let (first, second) = (cut(1, 0), cut(1, 1));
        assert_eq!(first, cut(1, 0));
        assert_ne!(first, second);
        assert_ne!(first, cut(2, 0));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| cut(1, 1)), second);
        for (example, base) in first.iter().zip(&base) {
            assert_eq!(example.tgt, base.tgt);
            let text = |ids: &[u32]| data.src.decode(ids).unwrap();
            assert_eq!(text(&example.src), text(&base.src));
        }
        // Examples of the same text are cut each in their own way.
        let ways: std::collections::HashSet<&[u32]> =
            first.iter().step_by(7).map(|example| &example.src[..]).collect();
        assert!(ways.len() > 2, "{ways:?}");
        assert!(Resampler::new(1, [(&data.src, None), (&data.tgt, None)], texts).is_none());
    }
}
