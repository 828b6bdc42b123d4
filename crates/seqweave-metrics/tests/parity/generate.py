"""Writes texts that are hard to score, with the scores that sacreBLEU and rouge-score give them.

    python generate.py FILE [SEED [PAIRS]]     # needs sacrebleu and rouge-score; `cargo xtask parity` runs it

The Rust test beside this file reads FILE and demands the same values to 1e-9.
"""

import json
import random
import statistics
import sys
from importlib.metadata import version

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

WORDS = {
    "english": "the a cat dog sat on mat it's don't Mr. U.S. well-known said that 's he she 1990s state-of-the-art NO".split(),
    "german": "Der die ÄPFEL straße Straße groß schön über für z.B. d.h. daß ein eine Haus häuser läuft ﬁnden GRÖẞE".split(),
    "chinese": ["我", "爱", "学习", "深度", "模型", "北京", "2008年", "《书》", "NLP", "㐀", "𠀀", "ｆｕｌｌ", "豈", "你好"],
    "japanese": ["これ", "は", "テスト", "です", "ー", "東京", "ｶﾅ", "１２３", "「はい」"],
    "arabic": ["مرحبا", "بالعالم", "هذا", "كتاب،", "١٢٣", "لا", "؟"],
    "greek": ["ΟΔΟΣ", "ΣΑΣ", "καλημέρα", "Άλφα", "σοφός", "İstanbul", "ǅ", "ß"],
    "emoji": ["👩‍🚀", "🇩🇪", "❤️", "ok👍", "a\u0301", "e\u0301\u0323", "\u200d", "☀"],
    "numbers": ["1,000.50", "3-4", "10%", "-5", "2.", ".5", "1990-95", "€5,-", "½", "x²", "Ⅷ", "1.2.3", "5,6,", "7:30", "$3"],
    "marks": [".", ",", "...", "!?", "–", "—", "„ja“", "«oui»", "(hi)", "[x]", "{y}", "a/b", "c++", "@-@", "&", "~", "^_^", "'", "''", '"', "\\", "|"],
    "markup": ["&quot;", "&amp;", "&lt;b&gt;", "&amp;lt;", "<skipped>", "&#39;", "a&b", "<s>", "-"],
    "repeated": ["a", "a", "a", "b", "b", "c"],
    "spaces": ["x\u00a0y", "a\u3000b", "p\u2003q", "m\u200bn", "u\u001cv", "k\u001fl", "g\u0085h", "i\u2028j", "t\tu", "w\u0001z"],
}
CORPORA = [
    ["english", "marks"], ["english", "numbers", "marks"], ["german", "marks"], ["chinese", "marks"],
    ["chinese", "japanese", "english"], ["arabic", "numbers"], ["greek", "emoji"], ["markup", "english", "numbers"],
    ["repeated"], ["spaces", "english"], ["repeated", "english", "marks"], list(WORDS),
]


def sentence(rng, kinds):
    words = [word for kind in kinds for word in WORDS[kind]]
    length = rng.choice([0, 1, 1, 2, 3, 4, 6, 9, 14, 22, 35, 60]) if rng.random() < 0.95 else 150
    glue = rng.choice([" ", " ", " ", "", "  "])
    return glue.join(rng.choice(words) for _ in range(length))


def changed(rng, text, kinds, strength):
    """The text with words dropped, doubled, replaced, and phrases moved."""
    words = text.split(" ")
    for _ in range(rng.randint(0, strength)):
        at, other = rng.randrange(len(words) + 1), rng.randrange(len(words) + 1)
        size = rng.randint(1, 4)
        what = rng.random()
        if what < 0.35:
            phrase, words[at:at + size] = words[at:at + size], []
            words[other:other] = phrase
        elif what < 0.55:
            words[at:at + 1] = []
        elif what < 0.7:
            words[at:at] = words[at:at + size]
        elif what < 0.85:
            words[at:at] = [rng.choice(WORDS[rng.choice(kinds)])]
        else:
            words[at:at + 1] = [word.swapcase() for word in words[at:at + 1]]
    return " ".join(words)


def corpus(rng, kinds, sentences, references):
    truth = [sentence(rng, kinds) for _ in range(sentences)]
    streams = [truth] + [[changed(rng, text, kinds, 6) for text in truth] for _ in range(max(references, 3) - 1)]
    rows = [list(row) for row in zip(*streams)]
    rows = [row[:rng.randint(1, len(row)) if references == 0 else references] for row in rows]
    outputs, others = ([changed(rng, text, kinds, strength) for text in truth] for strength in (8, 12))
    empty = rng.randrange(sentences)
    outputs[empty] = ""
    return outputs, others, rows


def metrics():
    """Name, tokenizer, smoothing, lower case, the metric of a corpus, the metric of a sentence."""
    for tok in ["13a", "intl", "zh", "char", "none"]:
        yield "bleu", tok, "exp", False, BLEU(tokenize=tok), BLEU(tokenize=tok, effective_order=True)
    for smooth in ["floor", "add-k", "none"]:
        kept = BLEU(smooth_method=smooth)
        yield "bleu", "13a", smooth, False, kept, BLEU(smooth_method=smooth, effective_order=True)
    yield "bleu", "13a", "exp", True, BLEU(lowercase=True), BLEU(lowercase=True, effective_order=True)
    for lower in [False, True]:
        yield "chrf", "13a", "exp", lower, CHRF(lowercase=lower), CHRF(lowercase=lower)
        yield "chrf++", "13a", "exp", lower, CHRF(word_order=2, lowercase=lower), CHRF(word_order=2, lowercase=lower)
    yield "ter", "13a", "exp", False, TER(), TER()


def scored(outputs, others, rows):
    most = max(map(len, rows))
    streams = [[row[i] if i < len(row) else None for row in rows] for i in range(most)]
    for name, tok, smooth, lower, whole, single in metrics():
        found = whole.corpus_score(outputs, streams, n_bootstrap=200)
        entry = {"metric": name, "tok": tok, "smooth": smooth, "lowercase": lower, "value": found.score}
        entry["mean"], entry["half"] = float(found._mean), float(found._ci)
        entry["signature"] = str(whole.get_signature())
        entry["each"] = [single.sentence_score(o, row).score for o, row in zip(outputs, rows)]
        if smooth == "exp" and not lower and tok == "13a":
            systems = [("first", outputs), ("second", others)]
            _, results = PairedTest(systems, {"m": whole}, streams, test_type="bs", n_samples=200)()
            entry["p_value"] = float(next(reversed(results.values()))[1].p_value)
        yield entry
    kinds = {"rouge1": "rouge1", "rouge2": "rouge2", "rougel": "rougeL"}
    scorer = RougeScorer(list(kinds.values()))
    found = [scorer.score_multi(row, output) for output, row in zip(outputs, rows)]
    for name, kind in kinds.items():
        each = [100 * float(scores[kind].fmeasure) for scores in found]
        yield {"metric": name, "tok": "13a", "smooth": "exp", "lowercase": False, "value": statistics.fmean(each), "each": each}


def main():
    path = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    rng = random.Random(seed)
    made = []
    for i, kinds in enumerate(CORPORA):
        references = [1, 1, 2, 3, 0][i % 5]
        outputs, others, rows = corpus(rng, kinds, max(2, pairs // len(CORPORA)), references)
        scores = list(scored(outputs, others, rows))
        made.append({"kinds": kinds, "outputs": outputs, "others": others, "references": rows, "scores": scores})
    packages = {name: version(name) for name in ["sacrebleu", "rouge-score"]}
    document = {"seed": seed, "packages": packages, "corpora": made}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=True, indent=0)
        file.write("\n")
    print(f"{sum(len(c['outputs']) for c in made)} pairs with seed {seed}, scored by {packages}")


main()
