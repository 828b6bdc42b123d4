//! Other ways to cut a text than the best one, for training: BPE-dropout (Provilkov et al. 2020) and sampling from a
//! unigram model (Kudo 2018). The draws of the crate `tokenizers` cannot be repeated, so both are written out here.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::PreTokenizer;
use tokenizers::tokenizer::{OffsetReferential, OffsetType};

use super::{Subwords, UNKNOWN, broken};

/// How a text is cut by chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// How much the likelier ways to cut a word are preferred: a way of probability p is taken with one of p^alpha; 0 always
    /// takes the likeliest one.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub alpha: f64,
    /// How many of the likeliest ways to cut a word are drawn from; 0 is all there are.
    #[schemars(range(max = 1024))]
    pub n_best: usize,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { alpha: 0.0, n_best: 64 }
    }
}

/// What chance does to the pieces of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// BPE-dropout: the probability with which a merge is passed over at each step.
    Dropout(f64),
    /// Sampling from a unigram model.
    Sampling(SamplingConfig),
}

/// The random stream of one side of one example in one epoch: ChaCha8 with all of that as the key, so that the pieces of
/// an example depend on nothing else.
pub fn noise_rng(seed: u64, epoch: u64, example: u64, side: Side) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (place, number) in key.chunks_exact_mut(8).zip([seed, epoch, example]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    key[24..].copy_from_slice(match side {
        Side::Source => b"src part",
        Side::Target => b"tgt part",
    });
    ChaCha8Rng::from_seed(key)
}

/// One side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read.
    Source,
    /// What is to be said.
    Target,
}

impl Subwords {
    /// The pieces of a text, cut by chance; the same draws give the same pieces.
    ///
    /// The noise must be of the kind of the model; noise of the other kind changes nothing.
    ///
    /// ```
    /// use seqweave_data::{Noise, Side, Subwords, noise_rng};
    /// # use seqweave_data::{Form, SubwordConfig, SubwordKind};
    /// # let config = SubwordConfig {
    /// #     kind: SubwordKind::Bpe, pieces: 40, byte_fallback: false, form: Form::None, lowercase: false,
    /// # };
    /// let subwords = Subwords::train(["low lower lowest"], &config)?;
    /// let cut = |epoch| subwords.sample("lowest", Noise::Dropout(0.5), &mut noise_rng(1, epoch, 0, Side::Source));
    /// assert_eq!(cut(3), cut(3));
    /// assert!((0..20).any(|epoch| cut(epoch) != subwords.encode("lowest")));
    /// # Ok::<(), seqweave_data::Error>(())
    /// ```
    pub fn sample(&self, text: &str, noise: Noise, rng: &mut ChaCha8Rng) -> Vec<String> {
        let cutter = self.cutter.get_or_init(|| Cutter::new(&self.json));
        let cut: &dyn Fn(&str, &mut ChaCha8Rng) -> Vec<String> = match (cutter, noise) {
            (Cutter::Bpe(model), Noise::Dropout(p)) => &move |word, rng| model.cut(word, p, rng),
            (Cutter::Unigram(model), Noise::Sampling(how)) => &move |word, rng| model.cut(word, how, rng),
            _ => return self.encode(text),
        };
        let text = self.normalize(text);
        let mut words =
            self.inner.get_added_vocabulary().extract_and_normalize(self.inner.get_normalizer(), &text);
        if let Some(rules) = self.inner.get_pre_tokenizer() {
            rules.pre_tokenize(&mut words).unwrap_or_else(broken);
        }
        let mut pieces = Vec::new();
        for (word, _, tokens) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            match tokens {
                // A token that was added is whole wherever it stands.
                Some(tokens) => pieces.extend(tokens.iter().map(|token| token.value.clone())),
                None => pieces.extend(cut(word, rng)),
            }
        }
        pieces
    }
}

/// A model as it is needed for cutting by chance; made when it is first asked for.
pub(super) enum Cutter {
    Bpe(Bpe),
    Unigram(Unigram),
    /// A model that knows one way only.
    Fixed,
}

impl Cutter {
    fn new(json: &str) -> Self {
        // The file was read before, so that what is missing here is not needed.
        let file: Value = serde_json::from_str(json).unwrap_or_default();
        let model = &file["model"];
        if model["merges"].is_array() {
            Self::Bpe(Bpe::new(model))
        } else if model["vocab"].is_array() {
            Self::Unigram(Unigram::new(model))
        } else {
            Self::Fixed
        }
    }
}

/// Byte-pair encoding.
pub(super) struct Bpe {
    ids: HashMap<String, u32>,
    names: HashMap<u32, String>,
    /// The rank of a merge and what it makes, by the two pieces.
    merges: HashMap<(u32, u32), (usize, u32)>,
    prefix: String,
    suffix: String,
    whole_words: bool,
    bytes: bool,
    fuse: bool,
}

impl Bpe {
    fn new(model: &Value) -> Self {
        let vocab = model["vocab"].as_object().into_iter().flatten();
        let ids: HashMap<String, u32> =
            vocab.filter_map(|(name, id)| Some((name.clone(), u32::try_from(id.as_u64()?).ok()?))).collect();
        let text = |key: &str| model[key].as_str().unwrap_or_default().to_owned();
        let prefix = text("continuing_subword_prefix");
        let mut merges = HashMap::new();
        for (rank, merge) in model["merges"].as_array().into_iter().flatten().enumerate() {
            // Older files write a pair as one text.
            let pair = match merge.as_str() {
                Some(pair) => pair.split_once(' '),
                None => merge[0].as_str().zip(merge[1].as_str()),
            };
            let Some((left, right)) = pair else { continue };
            let made = format!("{left}{}", right.strip_prefix(&prefix).unwrap_or(right));
            if let (Some(&l), Some(&r), Some(&made)) = (ids.get(left), ids.get(right), ids.get(&made)) {
                merges.insert((l, r), (rank, made));
            }
        }
        Self {
            names: ids.iter().map(|(name, &id)| (id, name.clone())).collect(),
            suffix: text("end_of_word_suffix"),
            whole_words: model["ignore_merges"] == true,
            bytes: model["byte_fallback"] == true,
            fuse: model["fuse_unk"] == true,
            ids,
            merges,
            prefix,
        }
    }

    /// The pieces of a word, each merge being passed over with probability `p` at each step (section 3.1 of the paper).
    ///
    /// A step looks at all neighbours, so a word of n characters takes up to n²/2 draws.
    fn cut(&self, word: &str, p: f64, rng: &mut ChaCha8Rng) -> Vec<String> {
        if p <= 0.0 && self.whole_words && self.ids.contains_key(word) {
            return vec![word.to_owned()];
        }
        let mut pieces = self.characters(word);
        let merge = |pieces: &[u32], i: usize| self.merges.get(&(pieces[i], *pieces.get(i + 1)?)).copied();
        let mut merges: Vec<Option<(usize, u32)>> = (0..pieces.len()).map(|i| merge(&pieces, i)).collect();
        loop {
            let kept = merges.iter().enumerate().filter_map(|(i, merge)| {
                let (rank, made) = (*merge)?;
                (p <= 0.0 || unit(rng) >= p).then_some((rank, i, made))
            });
            let Some((_, i, made)) = kept.min() else { break };
            pieces[i] = made;
            pieces.remove(i + 1);
            merges.remove(i + 1);
            merges[i] = merge(&pieces, i);
            if i > 0 {
                merges[i - 1] = merge(&pieces, i - 1);
            }
        }
        pieces.iter().map(|id| self.names[id].clone()).collect()
    }

    /// The pieces that merging begins with.
    fn characters(&self, word: &str) -> Vec<u32> {
        let mut pieces = Vec::with_capacity(word.len());
        let unknown = self.ids.get(UNKNOWN).copied();
        let mut after_unknown = false;
        for (at, character) in word.char_indices() {
            let is_last = at + character.len_utf8() == word.len();
            let prefix = if at == 0 { "" } else { &self.prefix };
            let name = format!("{prefix}{character}{}", if is_last { &self.suffix } else { "" });
            let bytes = || name.bytes().map(|byte| self.ids.get(&format!("<0x{byte:02X}>")).copied());
            let spelt = || bytes().collect::<Option<Vec<u32>>>().filter(|_| self.bytes);
            let (found, is_unknown) = match self.ids.get(&name) {
                Some(&id) => (vec![id], false),
                None => match spelt() {
                    Some(bytes) => (bytes, false),
                    None => (unknown.into_iter().collect(), true),
                },
            };
            if !(is_unknown && after_unknown && self.fuse) {
                pieces.extend(found);
            }
            after_unknown = is_unknown;
        }
        pieces
    }
}

/// A unigram language model.
pub(super) struct Unigram {
    scores: HashMap<String, f64>,
    /// The longest piece, in bytes.
    longest: usize,
    /// The score of a character that is no piece.
    unknown: f64,
    bytes: bool,
}

/// A piece that ends at some place of a word: where it begins, its score, and whether it is an unknown character.
#[derive(Clone, Copy)]
struct Arc {
    start: usize,
    score: f64,
    unknown: bool,
}

impl Unigram {
    fn new(model: &Value) -> Self {
        let entry = |entry: &Value| Some((entry[0].as_str()?.to_owned(), entry[1].as_f64()?));
        let scores: HashMap<String, f64> =
            model["vocab"].as_array().into_iter().flatten().filter_map(entry).collect();
        let lowest = scores.values().copied().fold(f64::INFINITY, f64::min);
        Self {
            longest: scores.keys().map(String::len).max().unwrap_or(0),
            // As SentencePiece and the crate have it.
            unknown: lowest - 10.0,
            bytes: model["byte_fallback"] == true,
            scores,
        }
    }

    fn cut(&self, word: &str, how: SamplingConfig, rng: &mut ChaCha8Rng) -> Vec<String> {
        let arcs = self.arcs(word);
        let path = match how {
            SamplingConfig { alpha, .. } if alpha <= 0.0 => best_paths(&arcs, 1).swap_remove(0).0,
            SamplingConfig { alpha, n_best: 0 } => any_path(&arcs, alpha, rng),
            SamplingConfig { alpha, n_best } => {
                let paths = best_paths(&arcs, n_best);
                let best = paths[0].1;
                let weights: Vec<f64> =
                    paths.iter().map(|(_, score)| (alpha * (score - best)).exp()).collect();
                paths.into_iter().nth(draw(&weights, rng)).map(|(path, _)| path).unwrap_or_default()
            }
        };
        self.pieces(word, &path)
    }

    /// The pieces that end at each byte of a word, the longest first; none where no character ends.
    fn arcs(&self, word: &str) -> Vec<Vec<Arc>> {
        let mut arcs = vec![Vec::new(); word.len() + 1];
        for (start, first) in word.char_indices() {
            let single = start + first.len_utf8();
            let ends = word[start..].char_indices().map(|(at, c)| start + at + c.len_utf8());
            for end in ends.take_while(|end| end - start <= self.longest.max(first.len_utf8())) {
                match self.scores.get(&word[start..end]) {
                    Some(&score) => arcs[end].push(Arc { start, score, unknown: false }),
                    None if end == single => {
                        arcs[end].push(Arc { start, score: self.unknown, unknown: true })
                    }
                    None => {}
                }
            }
        }
        arcs
    }

    /// The names of the pieces along a path. Neighbours that are unknown are one, or are spelt in bytes.
    fn pieces(&self, word: &str, path: &[(usize, Arc)]) -> Vec<String> {
        let mut pieces = Vec::with_capacity(path.len());
        let mut after_unknown = false;
        for &(end, Arc { start, unknown, .. }) in path {
            let text = &word[start..end];
            let spelt = || text.bytes().map(|byte| format!("<0x{byte:02X}>"));
            if !unknown {
                pieces.push(text.to_owned());
            } else if self.bytes && spelt().all(|byte| self.scores.contains_key(&byte)) {
                pieces.extend(spelt());
            } else if !after_unknown {
                pieces.push(UNKNOWN.to_owned());
            }
            after_unknown = unknown;
        }
        pieces
    }
}

/// A way through a word: each piece with its end.
type Path = Vec<(usize, Arc)>;

/// The `n` best ways through a word with their scores, the best first.
fn best_paths(arcs: &[Vec<Arc>], n: usize) -> Vec<(Path, f64)> {
    // For each place the best ways to it: score, last piece, and which of the ways to that piece's start.
    let mut ways: Vec<Vec<(f64, Arc, usize)>> = vec![Vec::new(); arcs.len()];
    for end in 0..arcs.len() {
        let mut found = Vec::new();
        for arc in &arcs[end] {
            let before: Vec<f64> =
                if arc.start == 0 { vec![0.0] } else { ways[arc.start].iter().map(|way| way.0).collect() };
            found.extend(before.into_iter().enumerate().map(|(rank, score)| (score + arc.score, *arc, rank)));
        }
        // Stable, so that of equal ways the one with the longer last piece stays first.
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(n);
        ways[end] = found;
    }
    let last = arcs.len() - 1;
    if last == 0 {
        return vec![(Vec::new(), 0.0)];
    }
    let back = |mut rank: usize| {
        let (mut end, mut path) = (last, Vec::new());
        while end > 0 {
            let (_, arc, before) = ways[end][rank];
            path.push((end, arc));
            (end, rank) = (arc.start, before);
        }
        path.reverse();
        path
    };
    (0..ways[last].len()).map(|rank| (back(rank), ways[last][rank].0)).collect()
}

/// One of all ways through a word, each with a probability in proportion to `exp(alpha · score)`: sums forward, draws
/// backward.
fn any_path(arcs: &[Vec<Arc>], alpha: f64, rng: &mut ChaCha8Rng) -> Path {
    let mut sums = vec![f64::NEG_INFINITY; arcs.len()];
    sums[0] = 0.0;
    for end in 1..arcs.len() {
        let logs = || arcs[end].iter().map(|arc| sums[arc.start] + alpha * arc.score);
        let most = logs().fold(f64::NEG_INFINITY, f64::max);
        if most.is_finite() {
            sums[end] = most + logs().map(|log| (log - most).exp()).sum::<f64>().ln();
        }
    }
    let (mut end, mut path) = (arcs.len() - 1, Vec::new());
    while end > 0 {
        let weight = |arc: &Arc| (sums[arc.start] + alpha * arc.score - sums[end]).exp();
        let weights: Vec<f64> = arcs[end].iter().map(weight).collect();
        let arc = arcs[end][draw(&weights, rng)];
        path.push((end, arc));
        end = arc.start;
    }
    path.reverse();
    path
}

/// An index, each with a probability in proportion to its weight.
fn draw(weights: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left = unit(rng) * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    weights.len() - 1
}

/// An even draw from `[0, 1)`.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subword::{SubwordConfig, SubwordKind};
    use crate::tokenize::Form;

    const TEXTS: [&str; 4] = [
        "the low tower is lower than the lowest tower",
        "newer towers are lower, newest towers lowest.",
        "我爱深度学习。深度学习很好。",
        "the newest of the new: slow, slower, slowest!",
    ];

    fn subwords(kind: SubwordKind, byte_fallback: bool) -> Subwords {
        let pieces = 80 + if byte_fallback { 256 } else { 0 };
        let config = SubwordConfig { kind, pieces, byte_fallback, form: Form::Nfkc, lowercase: false };
        Subwords::train(TEXTS, &config).unwrap()
    }

    fn rng(example: u64) -> ChaCha8Rng {
        noise_rng(7, 0, example, Side::Source)
    }

    fn noises() -> [(SubwordKind, Noise, Noise); 3] {
        let sampling = |alpha, n_best| Noise::Sampling(SamplingConfig { alpha, n_best });
        [
            (SubwordKind::Bpe, Noise::Dropout(0.0), Noise::Dropout(0.3)),
            (SubwordKind::Unigram, sampling(0.0, 0), sampling(0.2, 0)),
            (SubwordKind::Unigram, sampling(100.0, 1), sampling(0.2, 16)),
        ]
    }

    #[test]
    fn without_chance_the_pieces_are_the_usual_ones() {
        for byte_fallback in [false, true] {
            for (kind, none, _) in noises() {
                let subwords = subwords(kind, byte_fallback);
                for text in TEXTS.into_iter().chain(["", " ", "ｌｏｗ 👩‍🚀👩 雪x", "aaaaaa towertower \u{301}"])
                {
                    let found = subwords.sample(text, none, &mut rng(0));
                    assert_eq!(found, subwords.encode(text), "{kind:?} {text:?}");
                }
            }
        }
    }

    #[test]
    fn by_chance_the_text_is_the_same_and_the_pieces_differ() {
        for (kind, _, some) in noises() {
            let subwords = subwords(kind, true);
            let mut ways = std::collections::HashSet::new();
            for example in 0..200 {
                let pieces = subwords.sample(TEXTS[0], some, &mut rng(example));
                assert_eq!(subwords.decode(&pieces), TEXTS[0]);
                assert_eq!(pieces, subwords.sample(TEXTS[0], some, &mut rng(example)));
                ways.insert(pieces);
            }
            assert!(ways.len() > 20, "{kind:?}: {} ways in 200 draws", ways.len());
        }
    }

    #[test]
    fn everything_passed_over_leaves_characters() {
        let pieces = subwords(SubwordKind::Bpe, false).sample("low tower", Noise::Dropout(1.0), &mut rng(1));
        assert_eq!(pieces, ["▁", "l", "o", "w", "▁", "t", "o", "w", "e", "r"]);
    }

    /// "ab" is one piece or two: p("ab")^α against (p("a")·p("b"))^α.
    #[test]
    fn a_way_is_as_frequent_as_its_probability() {
        let model = serde_json::json!({"vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -1.5], ["ab", -2.0]]});
        let model = Unigram::new(&model);
        let alpha = 0.7;
        let expected = 1.0 / (1.0 + (-alpha * 0.5f64).exp());
        for n_best in [0, 2] {
            let mut rng = rng(n_best as u64);
            let how = SamplingConfig { alpha, n_best };
            let whole = (0..20_000).filter(|_| model.cut("ab", how, &mut rng).len() == 1).count();
            let share = whole as f64 / 20_000.0;
            // Four standard deviations.
            assert!((share - expected).abs() < 0.014, "{n_best}: {share} for {expected}");
        }
    }

    #[test]
    fn the_n_best_ways_are_the_best_of_all() {
        let model = serde_json::json!({"vocab": [["a", -1.0], ["aa", -1.7], ["aaa", -2.9], ["<unk>", 0.0]]});
        let paths = best_paths(&Unigram::new(&model).arcs("aaaa"), 100);
        // Compositions of 4 into parts of 1 to 3.
        assert_eq!(paths.len(), 7);
        let scores: Vec<f64> = paths.iter().map(|(_, score)| *score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert_eq!(scores[0], -3.4);
        assert_eq!(
            best_paths(&Unigram::new(&model).arcs("aaaa"), 3).iter().map(|p| p.1).collect::<Vec<_>>(),
            scores[..3]
        );
    }
}
