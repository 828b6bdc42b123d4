//! Encoded examples in one piece of bytes after the other: in memory, or in files that are mapped into it.
//!
//! A shard holds up to [`SHARD`] examples. All numbers are little-endian:
//!
//! ```text
//! offset  bytes  field
//!      0      8  magic "SWSHARD1"
//!      8      4  bytes of an id: 2 where every id is below 65 536, else 4
//!     12      4  n, the number of examples
//!     16      8  m, the number of ids
//!     24 8·(n+1)  an entry an example: where its ids begin (4), how many are of the source (4); the last is (m, 0)
//!      …    …    ids: of each example the source, then the target
//! ```
//! So the lengths of an example are next to each other, and a training that only plans reads eight bytes of each.

mod folder;
mod manifest;
mod map;

use std::sync::Arc;

use crate::batch::{Example, Lens};
use crate::error::{Error, Result, ShardFlaw};

pub(crate) use folder::ShardWriter;
pub use folder::{ShardFolder, ShardInfo};
use map::Bytes;

/// The most examples of a shard.
pub(crate) const SHARD: usize = 1 << 18;

const MAGIC: [u8; 8] = *b"SWSHARD1";
const HEADER: usize = 24;
const ENTRY: usize = 8;
/// Bytes that a hash is fed at a time: it takes many blocks side by side.
const FEED: usize = 1 << 16;

/// Examples with the ids of the order in which tokens were first seen, before there is a vocabulary.
#[derive(Debug, Default)]
pub(crate) struct RawShard {
    /// Where the ids of each example begin, and how many are of the source.
    pub(crate) entries: Vec<(u32, u32)>,
    /// Sources and targets.
    pub(crate) ids: Vec<u32>,
}

impl RawShard {
    pub(crate) fn push(&mut self, src: impl Iterator<Item = u32>, tgt: impl Iterator<Item = u32>) {
        let start = self.ids.len();
        self.ids.extend(src);
        // A shard ends long before it has so many ids; see `is_full`.
        self.entries.push((start as u32, (self.ids.len() - start) as u32));
        self.ids.extend(tgt);
    }

    /// Whether the next example belongs into another shard.
    ///
    /// The second bound only matters to lines of megabytes: it keeps positions within 32 bits.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= SHARD || self.ids.len() >= 1 << 30
    }

    /// The bytes of a shard, every id replaced by what `src` and `tgt` say of it, and fed to `hash`.
    pub(crate) fn pack(&self, src: &[u32], tgt: &[u32], width: usize, hash: &mut blake3::Hasher) -> Vec<u8> {
        let (n, m) = (self.entries.len(), self.ids.len());
        let mut bytes = Vec::with_capacity(HEADER + ENTRY * (n + 1) + width * m);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(width as u32).to_le_bytes());
        bytes.extend_from_slice(&(n as u32).to_le_bytes());
        bytes.extend_from_slice(&(m as u64).to_le_bytes());
        for (start, src_len) in self.entries.iter().copied().chain([(m as u32, 0)]) {
            bytes.extend_from_slice(&start.to_le_bytes());
            bytes.extend_from_slice(&src_len.to_le_bytes());
        }
        let ends = self.entries.iter().skip(1).map(|(start, _)| *start as usize).chain([m]);
        let mut fed = Vec::with_capacity(2 * FEED);
        for (&(start, src_len), end) in self.entries.iter().zip(ends) {
            let (start, middle) = (start as usize, (start + src_len) as usize);
            fed.extend_from_slice(&src_len.to_le_bytes());
            fed.extend_from_slice(&((end - middle) as u32).to_le_bytes());
            let known = |map: &[u32], id: &u32| map[*id as usize];
            let ids = self.ids[start..middle].iter().map(|id| known(src, id));
            for id in ids.chain(self.ids[middle..end].iter().map(|id| known(tgt, id))) {
                fed.extend_from_slice(&id.to_le_bytes());
                bytes.extend_from_slice(&id.to_le_bytes()[..width]);
            }
            if fed.len() >= FEED {
                hash.update(&fed);
                fed.clear();
            }
        }
        hash.update(&fed);
        bytes
    }
}

/// The bytes of an id that a vocabulary of `tokens` tokens asks for.
pub(crate) fn id_width(tokens: usize) -> usize {
    if tokens <= 1 << 16 { 2 } else { 4 }
}

/// One shard, its header read.
#[derive(Debug)]
struct Shard {
    bytes: Bytes,
    width: usize,
    examples: usize,
}

impl Shard {
    /// Reads the header and compares it with the length.
    fn new(bytes: Bytes) -> Result<Self, ShardFlaw> {
        let all = bytes.as_slice();
        let header = all.get(..HEADER).ok_or(ShardFlaw::Short)?;
        if header[..8] != MAGIC {
            return Err(ShardFlaw::Magic);
        }
        let (width, examples) = (number(header, 8) as usize, number(header, 12) as usize);
        let ids = u64::from(number(header, 16)) | u64::from(number(header, 20)) << 32;
        if width != 2 && width != 4 {
            return Err(ShardFlaw::Width(width));
        }
        let expected =
            ((HEADER + ENTRY * (examples + 1)) as u64).saturating_add(ids.saturating_mul(width as u64));
        if expected != all.len() as u64 {
            return Err(ShardFlaw::Length { expected, found: all.len() as u64 });
        }
        Ok(Self { bytes, width, examples })
    }

    /// Where the ids of example `i` begin, where its target begins, and where it ends.
    fn place(&self, i: usize) -> Option<(usize, usize, usize)> {
        let at = HEADER + ENTRY * i;
        let two = self.bytes.as_slice().get(at..at + 2 * ENTRY)?;
        let (start, src, end) = (number(two, 0), number(two, 4), number(two, 8));
        let middle = start.checked_add(src)?;
        (middle <= end).then_some((start as usize, middle as usize, end as usize))
    }

    fn ids(&self, from: usize, to: usize) -> Option<Vec<u32>> {
        let first = HEADER + ENTRY * (self.examples + 1);
        let bytes = self.bytes.as_slice().get(first + self.width * from..first + self.width * to)?;
        Some(match self.width {
            2 => bytes.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
            _ => bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        })
    }

    /// Looks at every entry and every id; `sizes` are those of the vocabularies.
    fn check(&self, sizes: (usize, usize)) -> Result<(), ShardFlaw> {
        let mut at = 0;
        for i in 0..self.examples {
            let (start, middle, end) = self.place(i).ok_or(ShardFlaw::Entry(i))?;
            if start != at {
                return Err(ShardFlaw::Entry(i));
            }
            at = end;
            for (from, to, size) in [(start, middle, sizes.0), (middle, end, sizes.1)] {
                let ids = self.ids(from, to).ok_or(ShardFlaw::Entry(i))?;
                if let Some(&id) = ids.iter().find(|id| **id as usize >= size) {
                    return Err(ShardFlaw::Id { example: i, id, size });
                }
            }
        }
        Ok(())
    }
}

/// A number of four bytes; the caller has looked at the length.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A run of examples that came from one corpus.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many there are.
    pub examples: u64,
    /// How often an epoch shows each.
    pub weight: f64,
}

/// Training examples as ids, in the order of their corpora; cheap to clone.
///
/// They lie in memory, two or four bytes an id, or in mapped files. Either way the same examples have the same
/// [fingerprint](Examples::fingerprint) and give the same batches.
///
/// ```
/// use seqweave_data::{Example, Examples};
///
/// let examples = Examples::from(vec![Example { src: vec![4, 5], tgt: vec![6] }]);
/// assert_eq!((examples.len(), examples.lens(0).src), (1, 2));
/// assert_eq!(examples.get(0)?.tgt, [6]);
/// # Ok::<(), seqweave_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Examples(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shards: Vec<Shard>,
    /// The number of the first example of each shard, and behind them that of all examples.
    starts: Vec<usize>,
    parts: Vec<Part>,
    fingerprint: String,
}

impl Examples {
    /// Packed shards in memory; `content` has been fed every example.
    pub(crate) fn packed(shards: Vec<Vec<u8>>, parts: Vec<Part>, content: &blake3::Hasher) -> Self {
        let shards = shards.into_iter().map(|bytes| Shard::new(Bytes::Held(bytes)));
        let shards = shards.collect::<Result<Vec<_>, _>>().expect("they were packed just now");
        Self::join(shards, fingerprint(content, &parts), parts)
    }

    fn join(shards: Vec<Shard>, fingerprint: String, parts: Vec<Part>) -> Self {
        let mut starts = vec![0];
        for shard in &shards {
            starts.push(starts[starts.len() - 1] + shard.examples);
        }
        Self(Arc::new(Inner { shards, starts, parts, fingerprint }))
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.0.starts[self.0.shards.len()]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The corpora that they came from.
    pub fn parts(&self) -> &[Part] {
        &self.0.parts
    }

    /// A hash of all ids, their order, and the weights, for checkpoints: a run resumes only on the data it began with.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The lengths of example `i`; none for one that does not exist.
    pub fn lens(&self, i: usize) -> Lens {
        let place = self.find(i).and_then(|(shard, i)| shard.place(i));
        let (start, middle, end) = place.unwrap_or_default();
        Lens { src: (middle - start) as u32, tgt: (end - middle) as u32 }
    }

    /// Example `i`.
    ///
    /// # Errors
    /// [`Error::ShardChanged`]: there is no such example, or its file was changed while it was in use.
    pub fn get(&self, i: usize) -> Result<Example> {
        let found = self.find(i).and_then(|(shard, i)| {
            let (start, middle, end) = shard.place(i)?;
            Some(Example { src: shard.ids(start, middle)?, tgt: shard.ids(middle, end)? })
        });
        found.ok_or(Error::ShardChanged { example: i, examples: self.len() })
    }

    /// All examples, for small sets.
    ///
    /// # Errors
    /// As [`Examples::get`].
    pub fn to_vec(&self) -> Result<Vec<Example>> {
        (0..self.len()).map(|i| self.get(i)).collect()
    }

    /// Lets the system have back the memory of mapped files. Whoever has gone through a part of the examples calls it,
    /// so that what is resident does not grow to the size of the corpus.
    pub fn forget(&self) {
        self.0.shards.iter().for_each(|shard| shard.bytes.forget());
    }

    fn find(&self, i: usize) -> Option<(&Shard, usize)> {
        let at = self.0.starts.partition_point(|start| *start <= i).checked_sub(1)?;
        Some((self.0.shards.get(at)?, i - self.0.starts[at]))
    }
}

impl From<Vec<Example>> for Examples {
    fn from(examples: Vec<Example>) -> Self {
        let parts = vec![Part { examples: examples.len() as u64, weight: 1.0 }];
        Self::of(&examples, parts)
    }
}

impl Examples {
    /// Examples of some corpora, packed.
    pub(crate) fn of(examples: &[Example], parts: Vec<Part>) -> Self {
        let (mut hash, mut shards, mut raw) = (blake3::Hasher::new(), Vec::new(), RawShard::default());
        let largest = examples.iter().flat_map(|e| e.src.iter().chain(&e.tgt)).max().copied().unwrap_or(0);
        let (same, width) = ((0..=largest).collect::<Vec<u32>>(), id_width(largest as usize + 1));
        for Example { src, tgt } in examples {
            if raw.is_full() {
                shards.push(std::mem::take(&mut raw).pack(&same, &same, width, &mut hash));
            }
            raw.push(src.iter().copied(), tgt.iter().copied());
        }
        shards.push(raw.pack(&same, &same, width, &mut hash));
        Self::packed(shards, parts, &hash)
    }
}

/// The fingerprint of examples that were all fed to `content`.
pub(crate) fn fingerprint(content: &blake3::Hasher, parts: &[Part]) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(content.finalize().as_bytes());
    for part in parts {
        hash.update(&part.examples.to_le_bytes());
        hash.update(&part.weight.to_bits().to_le_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(src: &[u32], tgt: &[u32]) -> Example {
        Example { src: src.to_vec(), tgt: tgt.to_vec() }
    }

    #[test]
    fn what_is_packed_comes_back() {
        for largest in [9, 65_535, 65_536, 1 << 20] {
            let all = vec![example(&[4, largest], &[]), example(&[], &[5]), example(&[7], &[8, 9])];
            let packed = Examples::from(all.clone());
            assert_eq!(packed.to_vec().unwrap(), all);
            assert_eq!(
                (0..3).map(|i| packed.lens(i)).collect::<Vec<_>>(),
                all.iter().map(Example::lens).collect::<Vec<_>>()
            );
            let shard = &packed.0.shards[0];
            assert_eq!(shard.width, if largest < 65_536 { 2 } else { 4 });
            assert_eq!(shard.check((largest as usize + 1, 10)), Ok(()));
            assert!(matches!(shard.check((largest as usize, 10)), Err(ShardFlaw::Id { example: 0, .. })));
            assert!(matches!(packed.get(3), Err(Error::ShardChanged { example: 3, examples: 3 })));
            assert_eq!(packed.lens(3), Lens::default());
        }
        assert!(Examples::from(Vec::new()).is_empty());
    }

    #[test]
    fn a_fingerprint_sees_every_change() {
        let data = vec![example(&[4, 5], &[6]), example(&[7], &[8, 9])];
        let of = |examples: Vec<Example>| Examples::from(examples).fingerprint().to_owned();
        let base = of(data.clone());
        assert_eq!(base, of(data.clone()));
        let others = [
            vec![],
            vec![data[0].clone()],
            vec![data[1].clone(), data[0].clone()],
            vec![example(&[4], &[5, 6]), data[1].clone()],
            vec![example(&[4, 5], &[7]), data[1].clone()],
            vec![example(&[4, 5], &[6, 7]), example(&[], &[8, 9])],
        ];
        for other in others {
            assert_ne!(base, of(other.clone()), "{other:?}");
        }
        let hash = blake3::Hasher::new();
        let part = |weight| [Part { examples: 1, weight }];
        assert_ne!(fingerprint(&hash, &part(1.0)), fingerprint(&hash, &part(2.0)));
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_a_panic() {
        let mut raw = RawShard::default();
        raw.push([0, 1].into_iter(), [2].into_iter());
        raw.push([1].into_iter(), [0, 0].into_iter());
        let map: Vec<u32> = (4..8).collect();
        let good = raw.pack(&map, &map, 2, &mut blake3::Hasher::new());
        let open = |bytes: Vec<u8>| Shard::new(Bytes::Held(bytes)).and_then(|shard| shard.check((8, 8)));
        assert_eq!(open(good.clone()), Ok(()));
        for cut in 0..good.len() {
            assert!(open(good[..cut].to_vec()).is_err(), "cut to {cut} bytes");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                // Some flips give another shard, which the checksum of the folder finds; none may panic.
                if let Ok(shard) = Shard::new(Bytes::Held(bytes)) {
                    let _ = shard.check((8, 8));
                    let examples = Examples::join(vec![shard], String::new(), Vec::new());
                    let _ = (examples.get(0), examples.get(1), examples.lens(1));
                }
            }
        }
    }
}
