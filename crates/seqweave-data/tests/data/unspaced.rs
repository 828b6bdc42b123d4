//! Scripts that put no spaces between words: raw text in, the same text out, at every level that suits them.

use seqweave_data::{DataConfig, FilterConfig, Level, Pair, SideConfig, UNK, prepare};

const LINES: [(&str, &str); 12] = [
    ("我爱深度学习。", "I love deep learning."),
    ("深度学习很好，我们都爱学习！", "Deep learning is good, we all love to learn!"),
    ("今天天气很好。", "The weather is fine today."),
    ("用GPT-4翻译3.5个句子，“好”吗？", "To translate 3.5 sentences with GPT-4, is it \"good\"?"),
    ("私は機械翻訳が好きです。", "I like machine translation."),
    ("カタカナとひらがなを読みます。", "I read katakana and hiragana."),
    ("今日は天気がいいですね。", "Nice weather today, isn't it?"),
    ("ฉันรักการเรียนรู้เชิงลึก", "I love deep learning."),
    ("วันนี้อากาศดีมาก ไปเที่ยวกันไหม", "The weather is fine today, shall we go out?"),
    ("ភាសាខ្មែរមិនមានដកឃ្លា", "Khmer has no spaces."),
    ("မြန်မာစာကို ဖတ်တယ်", "I read Burmese."),
    ("བོད་ཡིག་ཀློག་གི་ཡོད།", "I read Tibetan."),
];

/// Lines that training has not seen, of the same characters and of others.
const OTHERS: [&str; 4] = ["我们爱天气", "翻訳を読む。", "ไปเรียนภาษา", "龘鱻"];

fn pairs() -> Vec<Pair> {
    let pair = |(i, (src, tgt)): (usize, &(&str, &str))| Pair {
        src: (*src).into(),
        tgt: (*tgt).into(),
        line: i as u64 + 1,
    };
    LINES.iter().enumerate().map(pair).collect()
}

#[test]
fn text_comes_back_as_it_went_in() {
    for level in [Level::Char, Level::Bpe, Level::Unigram] {
        for shared_vocab in [false, true] {
            let byte_fallback = level.is_subword();
            let side = SideConfig { level, byte_fallback, max_vocab: 500, ..SideConfig::default() };
            let config = DataConfig { shared_vocab, src: side.clone(), tgt: side, ..DataConfig::default() };
            let data = prepare(&pairs(), &config).expect("good pairs");
            for (pair, example) in pairs().iter().zip(data.examples.to_vec().expect("in memory")) {
                assert!(!example.src.contains(&UNK), "{level:?} {}", pair.src);
                assert_eq!(data.src.decode(&example.src).expect("known ids"), pair.src, "{level:?}");
                assert_eq!(data.tgt.decode(&example.tgt).expect("known ids"), pair.tgt, "{level:?}");
                let most = pair.src.chars().count() + 1;
                assert!(example.src.len() > 1 && example.src.len() <= most, "{level:?} {:?}", example.src);
            }
            // Pieces spell what they do not know; characters say so.
            if level != Level::Char {
                for line in OTHERS {
                    assert_eq!(
                        data.src.decode(&data.src.encode(line)).expect("known ids"),
                        line,
                        "{level:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_ratio_of_lengths_does_not_drop_them() {
    let side = SideConfig { level: Level::Bpe, max_vocab: 400, ..SideConfig::default() };
    let filter = FilterConfig { max_len_ratio: Some(3.0), ..FilterConfig::default() };
    let chinese: Vec<Pair> = pairs().into_iter().take(3).collect();
    let config = DataConfig { src: side.clone(), tgt: side, filter, ..DataConfig::default() };
    assert_eq!(prepare(&chinese, &config).expect("good pairs").report.filter.kept, 3);
}
