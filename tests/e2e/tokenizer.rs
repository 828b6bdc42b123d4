//! Pieces of words: learnt, applied, undone; and a model of raw text that carries them.

use crate::dir::Dir;
use crate::models::tiny;

const TEXT: &str = "the low tower\nthe lower tower\nthe lowest towers, newer!\n我爱你\n我爱学习\n";

#[test]
fn pieces_are_learnt_and_text_comes_back() {
    for model in ["bpe", "unigram"] {
        let dir = Dir::new();
        dir.create("text.txt", TEXT);
        let train = format!(
            "tokenizer train --input text.txt --model {model} --byte-fallback --vocab-size 320 -o t.json"
        );
        dir.seqweave(&train).run().good().says("pieces from 5 lines");
        let first = dir.read("t.json");
        dir.seqweave(&train).run().good();
        assert_eq!(dir.read("t.json"), first, "{model}: the same text gives the same file");
        let raw = "the  lowest tower!\n\n我爱 👩\nＬＯＷ\n";
        let pieces = dir.seqweave("tokenizer encode -t t.json").stdin(raw).run().good();
        assert_eq!(pieces.lines().len(), 4, "{}", pieces.report());
        let back = dir.seqweave("tokenizer decode -t t.json").stdin(pieces.text()).run().good();
        assert_eq!(back.text(), "the lowest tower!\n\n我爱 👩\nLOW\n");
        let info = dir.seqweave("tokenizer info t.json --pieces").run().good();
        assert!(info.text().contains("<0xFF>") && info.text().contains("▁tower"), "{}", info.report());
    }
    let dir = Dir::new();
    dir.create("bad.json", "{}");
    dir.seqweave("tokenizer info bad.json").run().exits(4).says("bad.json");
}

#[test]
fn a_model_of_pieces_takes_and_gives_raw_text() {
    let dir = Dir::new();
    tiny(&dir);
    let train = "train -c config.toml --run pieces --max-steps 30 --set data.shared_vocab=true \
                 --set data.src.level=\"bpe\" --set data.tgt.level=\"bpe\" \
                 --set data.src.max_vocab=40 --set data.tgt.max_vocab=40";
    dir.seqweave(train).run().good();
    let out = dir.seqweave("translate -m pieces").stdin("a b c\n\nd\n").run().good();
    assert_eq!(out.lines().len(), 3, "{}", out.report());
    assert!(!out.text().contains('▁'), "{}", out.report());
    // The pieces are in the model folder: nothing else is needed.
    let best = dir.text("pieces/checkpoints/best");
    dir.copy(&dir.join(format!("pieces/checkpoints/{}", best.trim())), "moved");
    let moved = dir.seqweave("translate -m moved").stdin("a b c\n\nd\n").run().good();
    assert_eq!(moved.text(), out.text());
    assert!(dir.text("moved/source.tokenizer.json").contains("\"BPE\""));
}
