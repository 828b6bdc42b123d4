"""Writes the tokenizer files of other programs and what those programs make of hard lines.

    python crates/seqweave-data/tests/import/generate.py FOLDER    # needs sentencepiece, subword-nmt and tokenizers

The models are learnt here, from the sentences below, so that nothing is fetched. `expected.json` holds for each file
the pieces of each line and the text that the program makes of those pieces again.
"""

import gzip
import io
import json
import pathlib
import sys

import sentencepiece
import subword_nmt.apply_bpe
import subword_nmt.learn_bpe
import tokenizers as hf

FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"

NOUNS = "tower house river garden winter letter mountain teacher window kitchen".split()
GERMAN = "Turm Haus Fluss Garten Winter Brief Berg Lehrer Fenster Küche Straße Bäume".split()
CORPUS = (
    [f"The {a} is lower than the {b}, and the {b}s are the newest." for a in NOUNS for b in NOUNS if a != b]
    + [f"Der {a} steht neben dem {b}; größer als {b} ist {a}." for a in GERMAN for b in GERMAN if a != b]
    + ["我爱深度学习。", "深度学习很好，我们都爱学习。", "今天天气很好。", "机器翻译是深度学习的应用。"] * 8
    + ["私は機械翻訳が好きです。", "カタカナとひらがなを読みます。", "今日は天気がいいです。"] * 8
    + ["ฉันรักการเรียนรู้เชิงลึก", "วันนี้อากาศดีมาก", "ภาษาไทยไม่มีช่องว่าง"] * 8
    + ["отличная погода сегодня", "السلام عليكم يا صديقي", "It's 3.14 or 2,718 -- isn't it?"] * 8
)

LINES = [
    "The tower is lower than the newest house.",
    "Der größte Turm steht in der Straße.",
    "",
    " ",
    "  two   spaces  inside  and around  ",
    "tab\there and\u00a0a hard space\u3000and a wide one",
    "我爱学习，机器很好。",
    "私はカタカナを読みます。ｶﾀｶﾅ ﾊﾟﾊﾟ",
    "ฉันรักภาษาไทย",
    "السلام عليكم",
    "отличная погода, isn't it?",
    "ＦＵＬＬ ｗｉｄｔｈ １２３ ﬁne ½ ²",
    "e\u0301tude, A\u030angstro\u0308m, n\u0303",
    "👩‍🚀 flies 🇩🇪 and ☃",
    "3.14159 and 1,000,000 -- (or so)",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa towertowertower",
    "https://example.org/a?b=c&d=e#f",
    "<sep> tower<sep>house <sep>",
    "</w> @@ a</w>b a@@",
    "zero\u200bwidth and\u00adsoft",
    "Zalgo: t\u0336\u0321\u0322 and q\u0307\u0323",
    "한국어 각 가",
    "\u2581\u2581 the mark itself \u2581",
    "ALL CAPITALS? Yes!",
    "🙂🙂🙂",
    "x",
]


def train_sentencepiece(name, **options):
    model = io.BytesIO()
    options = {"hard_vocab_limit": False, "num_threads": 1, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, **options)
    # The table of the normal form is most of the file.
    (FOLDER / name).write_bytes(gzip.compress(model.getvalue(), mtime=0))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def pieces(line):
        # By number: the text of a piece that is not known is that of the line.
        return [processor.id_to_piece(i) for i in processor.encode(line)]

    def text(line):
        return processor.decode(processor.encode(line)).replace(" \u2047 ", "<unk>")

    return {"pieces": [pieces(line) for line in LINES], "texts": [text(line) for line in LINES]}


def train_subword_nmt(name):
    codes = io.StringIO()
    subword_nmt.learn_bpe.learn_bpe(io.StringIO("\n".join(CORPUS)), codes, 250, min_frequency=2)
    (FOLDER / name).write_text(codes.getvalue(), encoding="utf-8")
    bpe = subword_nmt.apply_bpe.BPE(io.StringIO(codes.getvalue()))

    def pieces(line):
        # Its marks say where a word goes on; those in the file say where it ends.
        found = bpe.process_line(line.strip("\r\n ")).split(" ")
        return [p[:-2] if p.endswith("@@") else p + "</w>" for p in found if p]

    # Its inputs are words between single spaces; other white space is left alone inside them.
    return {
        "pieces": [pieces(line) for line in SPACED],
        "texts": [" ".join(w for w in line.split(" ") if w) for line in SPACED],
    }


SPACED = [" ".join(line.split()).replace("@@", "@").replace("</w>", "<w>") for line in LINES]


def train_tokenizers(name, model, trainer, lines, **parts):
    tokenizer = hf.Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding()
    tokenizer.save(str(FOLDER / name))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = [tokenizer.encode(line, add_special_tokens=False) for line in lines]
    pieces = [[tokenizer.id_to_token(i) for i in e.ids] for e in encoded]
    return {"pieces": pieces, "texts": [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encoded]}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    plain = {"normalization_rule_name": "identity"}
    bare = {"add_dummy_prefix": False, "remove_extra_whitespaces": False}
    byte_level = {
        "pre_tokenizer": hf.pre_tokenizers.ByteLevel(add_prefix_space=False),
        "decoder": hf.decoders.ByteLevel(),
        "post_processor": hf.processors.ByteLevel(trim_offsets=False),
    }
    bert = {
        "normalizer": hf.normalizers.BertNormalizer(lowercase=True),
        "pre_tokenizer": hf.pre_tokenizers.BertPreTokenizer(),
        "decoder": hf.decoders.WordPiece(),
        "post_processor": hf.processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0)),
    }
    specials = ["[CLS]", "[SEP]", "[UNK]", "[PAD]"]
    bpe = hf.trainers.BpeTrainer
    files = {
        "unigram.model.gz": train_sentencepiece("unigram.model.gz", model_type="unigram", vocab_size=400),
        "bpe.model.gz": train_sentencepiece("bpe.model.gz", model_type="bpe", vocab_size=500, **plain),
        "bytes.model.gz": train_sentencepiece(
            "bytes.model.gz", model_type="bpe", vocab_size=700, byte_fallback=True, **plain
        ),
        "bare.model.gz": train_sentencepiece(
            "bare.model.gz", model_type="unigram", vocab_size=600, byte_fallback=True, **plain, **bare
        ),
        "symbols.model.gz": train_sentencepiece(
            "symbols.model.gz", model_type="unigram", vocab_size=400, user_defined_symbols=["<sep>"], **plain
        ),
        "codes.bpe": train_subword_nmt("codes.bpe"),
        "byte_level.json": train_tokenizers(
            "byte_level.json",
            hf.models.BPE(),
            bpe(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=hf.pre_tokenizers.ByteLevel.alphabet()),
            LINES,
            **byte_level,
        ),
        "word_piece.json": train_tokenizers(
            "word_piece.json",
            hf.models.WordPiece(unk_token="[UNK]"),
            hf.trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials),
            LINES,
            **bert,
        ),
    }
    expected = {"lines": LINES, "spaced": SPACED, "files": files}
    text = json.dumps(expected, ensure_ascii=True, indent=0)
    (FOLDER / "expected.json").write_text(text + "\n")


main()
