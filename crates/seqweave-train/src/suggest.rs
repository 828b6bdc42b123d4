//! A first configuration for pairs that nobody has looked at yet: what a token is, how large a model, how long to train.
//!
//! The rules are rules of thumb, made to be changed once the first model has a score; each choice carries its reason.

use std::collections::HashSet;

use seqweave_data::{Level, is_mostly_unspaced};
use seqweave_metrics::Metric;

/// What to begin with. Sizes are in units, tokens and pairs as in the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// The source side.
    pub src: SideSuggestion,
    /// The target side.
    pub tgt: SideSuggestion,
    /// Embedding size.
    pub emb: usize,
    /// Hidden size.
    pub hidden: usize,
    /// Probability of dropping a unit.
    pub dropout: f64,
    /// The budget of a batch in padded tokens.
    pub batch_tokens: usize,
    /// Passes over the data.
    pub epochs: u64,
    /// Steps over which the learning rate rises.
    pub warmup: u64,
    /// What a validation measures; the first decides which checkpoint is the best.
    pub metrics: Vec<Metric>,
}

/// What a token is on one side, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct SideSuggestion {
    /// What a token is.
    pub level: Level,
    /// The largest vocabulary, the special tokens included.
    pub max_vocab: usize,
    /// What was seen that speaks for it, in a few words.
    pub reason: String,
}

/// A vocabulary of words with no more than so many, each seen often, is closed: codes, phonemes, commands.
const CLOSED: usize = 1000;

/// What a side looks like.
#[derive(Default)]
struct Look {
    lines: usize,
    words: usize,
    characters: usize,
    /// Lines of scripts that put no blanks between words.
    unspaced: usize,
    distinct: HashSet<String>,
}

impl Look {
    fn see(&mut self, line: &str) {
        self.lines += 1;
        self.characters += line.chars().filter(|c| !c.is_whitespace()).count();
        self.unspaced += usize::from(is_mostly_unspaced([line]));
        for word in line.split_whitespace() {
            self.words += 1;
            if !self.distinct.contains(word) {
                self.distinct.insert(word.to_string());
            }
        }
    }

    fn words_per_line(&self) -> f64 {
        self.words as f64 / self.lines.max(1) as f64
    }

    /// Whether words stand next to each other without blanks.
    fn is_unspaced(&self) -> bool {
        2 * self.unspaced > self.lines
    }

    fn suggestion(&self) -> SideSuggestion {
        let all = 32_000;
        let distinct = self.distinct.len();
        let times = self.words / distinct.max(1);
        if distinct <= CLOSED && times >= 20 && self.words_per_line() >= 1.5 {
            let reason = format!("{} symbols between blanks, each seen {times} times", distinct);
            return SideSuggestion { level: Level::Word, max_vocab: all, reason };
        }
        // Single words, and scripts that put no blanks between them.
        if self.words_per_line() < 1.5 {
            let reason = match self.is_unspaced() {
                true => "no blanks between words: characters are the tokens".to_owned(),
                false => format!("{:.1} words a line: letters are the tokens", self.words_per_line()),
            };
            return SideSuggestion { level: Level::Char, max_vocab: all, reason };
        }
        let max_vocab = match self.lines {
            ..20_000 => 2000,
            20_000..60_000 => 4000,
            60_000..400_000 => 8000,
            _ => 16_000,
        };
        let reason = format!("{} distinct words: pieces of them cover also what was never seen", distinct);
        SideSuggestion { level: Level::Bpe, max_vocab, reason }
    }

    /// About how many tokens a line has at a level.
    fn tokens(&self, level: Level) -> usize {
        match level {
            Level::Char => self.characters,
            Level::Word => self.words,
            // Pieces are a little shorter than words.
            Level::Bpe | Level::Unigram | Level::Pieces => self.words * 13 / 10,
        }
    }
}

/// Characters that stand between tags in published data: `N;ACC;PL`, `pos=N,case=ACC`, `V;LGSPEC1(IND, PST)`, `V|PST`.
const BETWEEN: [char; 5] = [';', ',', '|', '(', ')'];

/// What a column of tags looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLook {
    /// The characters between tags, as `data.features` names them.
    pub separators: String,
    /// Different tags.
    pub distinct: usize,
    /// How often each was seen, on the average.
    pub times: usize,
}

impl TagLook {
    /// A look at the cells of a column; none if they are no tags, of which a few come again and again: sentences, words,
    /// numbers.
    pub fn of<'t>(cells: impl IntoIterator<Item = &'t str>) -> Option<TagLook> {
        let (mut distinct, mut between, mut all) = (HashSet::new(), HashSet::new(), 0);
        for cell in cells {
            between.extend(cell.chars().filter(|c| BETWEEN.contains(c)));
            for tag in cell.split(BETWEEN).map(str::trim).filter(|tag| !tag.is_empty()) {
                if tag.contains(char::is_whitespace) {
                    return None;
                }
                all += 1;
                distinct.insert(tag);
                if distinct.len() > CLOSED {
                    return None;
                }
            }
        }
        let times = all / distinct.len().max(1);
        if times < 3 || distinct.iter().all(|tag| tag.parse::<f64>().is_ok()) {
            return None;
        }
        let separators: String = BETWEEN.into_iter().filter(|c| between.contains(c)).collect();
        let separators = if separators.is_empty() { BETWEEN[0].to_string() } else { separators };
        Some(TagLook { separators, distinct: distinct.len(), times })
    }
}

/// A look at pairs, one after the other; what it keeps grows with the distinct words alone.
#[derive(Default)]
pub struct Survey {
    sides: [Look; 2],
}

impl Survey {
    /// Takes in a pair.
    pub fn see(&mut self, src: &str, tgt: &str) {
        self.sides[0].see(src);
        self.sides[1].see(tgt);
    }

    /// Pairs seen so far.
    pub fn pairs(&self) -> usize {
        self.sides[0].lines
    }

    /// What to begin with.
    pub fn suggest(&self) -> Suggestion {
        let (looks, pairs) = (&self.sides, self.pairs());
        let [src, tgt] = looks.each_ref().map(Look::suggestion);
        // Special tokens stand at both ends of a line.
        let tokens = looks[0].tokens(src.level) + looks[1].tokens(tgt.level) + 3 * pairs;
        let (emb, hidden, dropout) = match pairs {
            ..5000 => (64, 128, 0.3),
            5000..60_000 => (128, 256, 0.3),
            60_000..250_000 => (256, 384, 0.2),
            _ => (256, 512, 0.2),
        };
        // A few hundred steps an epoch, and some eight thousand in all.
        let batch_tokens = (tokens / 400).clamp(400, 3000).next_multiple_of(100);
        let epochs = (8000 * batch_tokens / tokens.max(1)).clamp(5, 40) as u64;
        let metrics = match (src.level, tgt.level) {
            (_, Level::Bpe | Level::Unigram | Level::Pieces) => vec![Metric::Bleu, Metric::Chrf],
            (Level::Char, Level::Word) => vec![Metric::Wer, Metric::Per],
            (_, Level::Word) => vec![Metric::Acc, Metric::TokenAcc],
            // Sentences, which are seldom right as a whole: two of three signs.
            (_, Level::Char) if signs_of_sentences(src.level, &looks[1]) >= 2 => {
                vec![Metric::Chrf, Metric::Cer]
            }
            (_, Level::Char) => vec![Metric::Acc, Metric::Cer],
        };
        // The rate rises over a small part of the run.
        let steps = epochs * tokens.div_ceil(batch_tokens) as u64;
        let warmup = (steps / 10).min(200);
        Suggestion { src, tgt, emb, hidden, dropout, batch_tokens, epochs, warmup, metrics }
    }
}

/// How many of three signs say that targets without blanks are sentences and no names: the source has words, the targets are
/// long, their script has no blanks.
fn signs_of_sentences(source: Level, target: &Look) -> usize {
    let long = target.characters > 8 * target.lines;
    [source != Level::Char, long, target.is_unspaced()].into_iter().map(usize::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: usize, pair: impl Fn(usize) -> (String, String)) -> Suggestion {
        let mut survey = Survey::default();
        (0..n).map(pair).for_each(|(src, tgt)| survey.see(&src, &tgt));
        assert_eq!(survey.pairs(), n);
        survey.suggest()
    }

    fn levels(suggestion: &Suggestion) -> (Level, Level) {
        (suggestion.src.level, suggestion.tgt.level)
    }

    #[test]
    fn words_to_phonemes() {
        let found = of(6000, |i| (format!("word{i}"), format!("W ER D {}", i % 30)));
        assert_eq!(levels(&found), (Level::Char, Level::Word));
        assert_eq!(found.metrics[0], Metric::Wer);
        assert_eq!(found.hidden, 256);
    }

    #[test]
    fn sentences_to_sentences() {
        let found = of(3000, |i| (format!("this is sentence{i} ."), format!("das ist satz{i} .")));
        assert_eq!(levels(&found), (Level::Bpe, Level::Bpe));
        assert_eq!(found.metrics[0], Metric::Bleu);
        assert_eq!(found.warmup, 200);
    }

    #[test]
    fn few_steps_warm_up_over_a_tenth_of_them() {
        let found = of(20, |i| (format!("word{i}"), format!("W ER D {}", i % 3)));
        assert_eq!((found.epochs, found.warmup), (40, 4), "one batch an epoch");
    }

    #[test]
    fn sentences_to_a_script_without_blanks() {
        let found = of(500, |i| (format!("i have {i} red things"), format!("我有{i}個紅色的東西喔對吧")));
        assert_eq!(levels(&found), (Level::Bpe, Level::Char));
        assert_eq!(found.metrics[0], Metric::Chrf);
    }

    #[test]
    fn source_and_length_choose_the_measure_of_a_script_without_blanks() {
        let of = |src: &str, tgt: &str| of(500, |i| (format!("{src}{i}"), tgt.to_owned())).metrics[0];
        assert_eq!(of("i see it ", "我看見"), Metric::Chrf, "short sentences");
        assert_eq!(
            of("猫が魚を食べる", "猫吃鱼的时候狗在睡觉"),
            Metric::Chrf,
            "sentences of two such scripts"
        );
        assert_eq!(of("london", "倫敦"), Metric::Acc, "names");
        assert_eq!(of("gehen", "gegangenundgegangen"), Metric::Acc, "words");
    }

    #[test]
    fn commands_to_actions() {
        let found = of(2000, |i| (format!("walk {} times", i % 9), "STEP ".repeat(i % 9 + 1)));
        assert_eq!(levels(&found), (Level::Word, Level::Word));
        assert_eq!(found.metrics[0], Metric::Acc);
    }

    #[test]
    fn more_pairs_make_a_larger_model_and_fewer_passes() {
        let sizes = |n| {
            let found =
                of(n, |i| (format!("w{} {} x", i % 5000, i % 77), format!("v{} {}", i % 5000, i % 77)));
            (found.hidden, found.src.max_vocab, found.epochs)
        };
        assert_eq!(sizes(3000), (128, 2000, 40));
        assert_eq!(sizes(260_000), (512, 8000, 9));
        assert_eq!(sizes(410_000).1, 16_000);
    }

    #[test]
    fn tags_are_told_from_words_sentences_and_numbers() {
        let look = |cell: fn(usize) -> String| {
            let cells: Vec<String> = (0..60).map(cell).collect();
            let look = TagLook::of(cells.iter().map(String::as_str));
            look.map(|TagLook { separators, distinct, times }| (separators, distinct, times))
        };
        let tags = |separators: &str, distinct, times| Some((separators.to_owned(), distinct, times));
        assert_eq!(look(|i| ["N;ACC;PL", "N;ACC;SG"][i % 2].into()), tags(";", 4, 45));
        assert_eq!(look(|i| format!("pos=N,case={}", i % 3)), tags(",", 4, 30));
        assert_eq!(look(|i| ["V;LGSPEC1(IND, PST)", "V"][i % 2].into()), tags(";,()", 4, 37));
        assert_eq!(look(|i| ["SG", "PL"][i % 2].into()), tags(";", 2, 30));
        assert_eq!(look(|i| format!("word{i}")), None);
        assert_eq!(look(|i| format!("this is text {}", i % 2)), None);
        assert_eq!(look(|i| (i % 5).to_string()), None);
        assert_eq!(look(|_| String::new()), None);
    }

    #[test]
    fn nothing_to_look_at_is_no_reason_to_fail() {
        assert_eq!(Survey::default().suggest().epochs, 40);
    }
}
