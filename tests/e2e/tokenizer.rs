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
    dir.create("text.txt", TEXT);
    let few = "tokenizer train --input text.txt --vocab-size 9 -o t.json";
    dir.seqweave(few).run().exits(2).says("--vocab-size is 9, and").says("--byte-fallback");
    dir.seqweave(&few.replace("9", "259 --byte-fallback")).run().good().says("259 pieces");
    dir.create("bad.json", "{}");
    dir.seqweave("tokenizer info bad.json").run().exits(4).says("bad.json");
}

#[test]
fn codes_of_another_program_are_taken_over() {
    let dir = Dir::new();
    dir.create("codes.bpe", "#version: 0.2\nl o\nlo w\n");
    dir.create("text.txt", "low lower 我\n");
    let import = "tokenizer import codes.bpe -o t.json";
    dir.seqweave(import).run().good().says("subword-nmt codes: BPE").says("--alphabet");
    dir.seqweave(&format!("{import} --alphabet text.txt")).run().good();
    let pieces = dir.seqweave("tokenizer encode -t t.json").stdin("lower 我\n").run().good();
    assert_eq!(pieces.text(), "low e r</w> 我</w>\n");
    let back = dir.seqweave("tokenizer decode -t t.json").stdin(pieces.text()).run().good();
    assert_eq!(back.text(), "lower 我\n");
    // Its own files go through unchanged.
    dir.seqweave("tokenizer import t.json -o again.json").run().good().says("tokenizer.json: BPE");
    assert_eq!(dir.read("again.json"), dir.read("t.json"));
    dir.seqweave("tokenizer import text.txt -o x.json").run().exits(4).says("looks like none of");
    dir.seqweave("tokenizer import codes.bpe --from sentencepiece -o x.json").run().exits(4).says("no whole");
}

#[test]
fn tokens_of_a_model_can_be_seen_whatever_they_are() {
    let dir = Dir::new();
    tiny(&dir);
    let train = "train -c config.toml --run run --max-steps 2 --set data.src.level=\"char\"";
    dir.seqweave(train).run().good();
    let text = "a b\n\nc\u{e9}\n";
    let seen = dir.seqweave("tokenizer encode -m run").stdin(text).run().good();
    assert_eq!(seen.text(), "a \u{2581} b\n\nc <unk>\n");
    let back = dir.seqweave("tokenizer decode -m run").stdin(seen.text()).run().good();
    assert_eq!(back.text(), "a b\n\nc<unk>\n");
    // The target side has words.
    let seen = dir.seqweave("tokenizer encode -m run --side target").stdin("a  b\n").run().good();
    assert_eq!(seen.lines()[0].split(' ').count(), 2, "{}", seen.report());
    let info = dir.seqweave("tokenizer info run --pieces").run().good();
    assert!(
        info.text().contains("run, source: char, ") && info.text().contains("\n4\t\u{2581}\n"),
        "{}",
        info.report()
    );
    assert!(info.text().contains("run, target: word, "), "{}", info.report());
    let info = dir.seqweave("tokenizer info run --side target").run().good();
    assert_eq!(info.lines().len(), 1, "{}", info.report());
    dir.seqweave("tokenizer encode").run().exits(2).says("--tokenizer").says("--model");
    dir.seqweave("tokenizer encode -m nowhere").run().exits(4).says("nowhere");
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

#[test]
fn a_joint_tokenizer_from_a_file_with_one_embedding() {
    let dir = Dir::new();
    tiny(&dir);
    dir.create("text.txt", "a b c d\nd c b a\nab cd\n");
    dir.seqweave("tokenizer train --input text.txt --vocab-size 40 -o joint.json").run().good();
    let train = "train -c config.toml --run joint --max-steps 30 --set data.shared_vocab=true \
                 --set data.src.tokenizer=joint.json --set data.tgt.tokenizer=joint.json --set model.tie=all";
    dir.seqweave(train).run().good();
    // The file is in the model folder, and the vocabulary has every piece of it.
    let pieces = dir.seqweave("tokenizer info joint.json --pieces").run().good().lines().len() - 1;
    std::fs::remove_file(dir.join("joint.json")).expect("the file is there");
    let best = dir.text("joint/checkpoints/best");
    let best = format!("joint/checkpoints/{}", best.trim());
    let vocab: serde_json::Value =
        serde_json::from_slice(&dir.read(format!("{best}/source.vocab.json"))).unwrap();
    // `<unk>` is one of the four special tokens and one of the pieces.
    assert_eq!(vocab["tokens"].as_array().unwrap().len(), pieces + 3);
    let out = dir.seqweave("translate -m joint").stdin("a b c\n\nd\n").run().good();
    assert_eq!(out.lines().len(), 3, "{}", out.report());
    // One embedding for both sides and the output.
    let weights = String::from_utf8_lossy(&dir.read(format!("{best}/model.safetensors"))).into_owned();
    assert!(weights.contains("decoder.embedding.weight"));
    assert!(!weights.contains("encoder.embedding.weight"));
    // To go on, the file must be there again, and the same.
    dir.seqweave(train).run().exits(4).says("joint.json: no such file");
    dir.create("other.txt", "abc abd abe\n");
    dir.seqweave("tokenizer train --input other.txt --vocab-size 40 -o joint.json").run().good();
    dir.seqweave(train).run().exits(3).says("training data");
    dir.seqweave("tokenizer train --input text.txt --vocab-size 40 -o joint.json").run().good();
    dir.seqweave(&train.replace("--max-steps 30", "--max-steps 40")).run().good();
}
